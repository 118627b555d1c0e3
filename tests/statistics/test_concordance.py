import pytest

from sksurv_mmf.statistics._concordance import comparable, concordance, higher


@pytest.mark.parametrize("sample", ["noties", "timeties", "riskties", "bothties", "small", "nearties"])
def test_it_is_the_concordance_of_r(reference, sample):
    numbers = reference("concordance")
    event, time, risk = (numbers[f"{sample}/{name}"] for name in ("event", "time", "risk"))
    event = event.astype(bool)
    pairs = comparable(event, time)
    concordant, discordant, tied_risk, *_ = numbers[f"{sample}/R/counts"]
    order = higher(risk)[pairs]
    assert [(order == value).sum() for value in (1, 0, 0.5)] == [concordant, discordant, tied_risk]
    assert concordance(pairs, higher(risk)) == pytest.approx(numbers[f"{sample}/R/concordance"], rel=1e-12)
