"""Copy the published reference numbers that the tests need: ``python make_reference.py REFERENCE_FOLDER``.

The folder holds numbers that the original implementations computed (see README.md). Nothing is computed here; this file
says which arrays are kept.
"""

import sys
from pathlib import Path

import numpy as np

GLMNET = (
    *("X", "time", "event", "foldid", "R_glmnet/default/nulldev", "R_glmnet/tight/nostd_"),
    *(
        f"R_glmnet/{variant}/{what}"
        for variant in ("default", "tight")
        for what in ("lambda", "cvm", "cvsd", "nzero", "dev_ratio", "coef_path", "selected_")
    ),
)

KEPT = {
    "networks/porpoise_amil_tiny": ("sd/", "in/", "f64/", "f32/", "grad_"),
    "networks/porpoise_snn_tiny": ("sd/", "in/", "f64/", "f32/", "grad_"),
    "networks/porpoise_mmf_concat_tiny": ("sd/", "in/", "f64/", "f32/", "grad_"),
    **{
        f"networks/porpoise_mmf_bilinear_skip{skip}_tiny": (
            *("sd/mm", "sd/classifier", "grad_gp1_go1_bag7_y2_event/mm", "grad_gp1_go1_bag7_y2_event/loss"),
            *(
                f"f64/{gates}/bag{n}/{name}"
                for gates in ("gp1_go1", "gp0_go0")
                for n in (1, 7, 50)
                for name in ("h_path", "h_omic", "h_mm")
            ),
        )
        for skip in (0, 1)
    },
    "networks/survpath_block": ("h1/", "h2/", "f64/h1/", "f64/h2/"),
    "networks/survpath_model_tiny": (
        *("sd/", "in/"),
        *(f"f64/wsi{n}/{name}" for n in (1, 7, 50) for name in ("tokens", "embedding", "logits")),
    ),
    "networks/mcat_gated_attention": ("att1/", "in/", "f64/att1/"),
    "networks/mcat_model_tiny": (
        *("concat/sd/", "in/"),
        *(
            f"f64/concat/bag{n}/{name}"
            for n in (1, 7, 50)
            for name in (
                "coattn_out",
                "path_transformer_out",
                "omic_transformer_out",
                "h_path",
                "h_omic",
                "h_mm",
                "logits",
            )
        ),
    ),
    "networks/csmil_tiny": None,
    "networks/ilse_attention": ("sd/attention", "in/H1", "in/H7", "f64/bag1/", "f64/bag7/", "f32/bag1/", "f32/bag7/"),
    "losses/nll_ce_pycox": (
        *("logits", "bin", "censorship", "alphas", "clamped/f64", "hazards/f64", "survival/f64", "risk/f64"),
        *(f"porpoise_nll/a{alpha}/f64/{what}" for alpha in ("0.0", "0.15", "0.5") for what in ("loss", "grad")),
        "pycox_logistic_hazard/f64/",
    ),
    "losses/cox_partial_likelihood": tuple(
        f"{sample}/{what}"
        for sample in ("noties", "mildties", "heavyties", "small", "largeeta", "allevents")
        for what in (
            *("time", "event", "eta", "X", "porpoise_coxsurvloss/f64/"),
            *(f"R/{ties}/{name}" for ties in ("breslow", "efron") for name in ("loglik", "dloglik_deta", "X_mle")),
        )
    ),
    "bins/porpoise_bins_risk": None,
    "metrics/km_logrank": tuple(
        f"{sample}/{what}"
        for sample in ("two", "three_ties", "unbalanced_ties")
        for what in ("time", "event", "group", "R/rho0/", *(f"R/km_group{group}" for group in range(3)))
    ),
    "metrics/concordance": tuple(
        f"{sample}/{what}"
        for sample in ("noties", "timeties", "riskties", "bothties", "small", "nearties")
        for what in ("time", "event", "risk", "R/concordance", "R/counts")
    ),
    "elastic_net/gse7390": GLMNET,
    "elastic_net/ties": GLMNET,
}


def main(folder):
    for name, prefixes in KEPT.items():
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            kept = {key: arrays[key] for key in arrays if prefixes is None or key.startswith(prefixes)}
        file = name.replace("elastic_net/", "glmnet_").split("/")[-1]
        np.savez_compressed(Path(__file__).parent / f"{file}.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
