"""
One model on several processes
==============================

Each process computes its share of every batch, and the gradients are added up: one network is trained, as by one
process with the whole batch. Here by two processes of this machine; on GPUs, ``accelerate launch`` starts one for each.

Needs ``pip install 'sksurv_mmf[accelerate]'``. Run it with ``torchrun --nproc-per-node 2
examples/one_model_on_several_processes.py``.
"""  # noqa: D400

import tempfile

from accelerate import Accelerator

from sksurv_mmf import FusionSurvivalAnalysis, save_model
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.training.several_processes import several_processes


def main():
    """Train a network in all processes, and save it in the first."""
    accelerator = Accelerator(cpu=True)  # without the argument, on GPUs
    # Every process makes or reads the whole table. Bags that are on disk are read by the process that needs them.
    cohort = make_multimodal_survival(n_patients=150, n_genes=20, random_state=0)
    model = FusionSurvivalAnalysis(n_estimators=1, batch_size=32, random_state=0, verbose=True)
    with several_processes(accelerator):
        model.fit(cohort.X, cohort.y)
    # All have the same model now.
    if accelerator.is_main_process:
        score = model.score(cohort.X, cohort.y)
        print(f"{accelerator.num_processes} processes, C-index on the training patients: {score:.3f}")
        save_model(model, f"{tempfile.mkdtemp()}/model.zip")
    accelerator.end_training()


if __name__ == "__main__":
    main()
