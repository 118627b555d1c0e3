import numpy as np
import pytest

from sksurv_mmf.statistics._pair_sums import PairSums, event_rank, weighted_concordance


@pytest.mark.parametrize("sample", ["noties", "timeties", "riskties", "bothties", "small", "nearties"])
def test_it_is_the_concordance_of_r(reference, sample):
    numbers = reference("concordance")
    event, time, risk = (numbers[f"{sample}/{name}"] for name in ("event", "time", "risk"))
    event = event.astype(bool)
    concordant, discordant, tied_risk, *_ = numbers[f"{sample}/R/counts"]
    rank, weight, once = event_rank(event, time), event.astype(float), np.ones((1, len(time)))
    for one, count in ((risk, concordant), (-risk, discordant)):
        sums = PairSums(rank, [(1, one)], event)(weight[:, np.newaxis], once.T)
        assert sums == count + tied_risk / 2
    c_index = weighted_concordance(rank, weight, [(1, risk)])(once)[0]
    assert c_index == pytest.approx(numbers[f"{sample}/R/concordance"], rel=1e-12)
