"""What a fitted model weighs."""

from ..inspection._modality_attention import ModalityAttentionDisplay
from ..pages._parts import Figure, Section, Table, Text
from ..utils._validation import say


def attention_section(study):
    """Weights of the modalities in a fitted model."""
    if study.model is None:
        return "Pass model=, a fitted model that weighs modalities."
    try:
        display = ModalityAttentionDisplay.from_estimator(study.model, study.X)
    except (AttributeError, ValueError) as error:
        return f"The model that was passed does not weigh modalities: {say(error)}."
    display.figure_.set_figwidth(5.5)
    table = display.attention.describe().T[["mean", "25%", "50%", "75%"]].rename_axis("modality")
    text = (
        "Weights by which the fitted model fuses the modalities, of the patients of this study. If it was trained on "
        "them, the weights describe the model and are no result for new patients. A weight does not tell whether a "
        "modality improves predictions."
    )
    caption = "Weights of the modalities, from the patient with the lowest predicted risk to the one with the highest."
    return Section(
        "Attention",
        [
            Text(text),
            Figure(display.figure_, caption, "Stacked bars of weights by patient."),
            Table(table, "Mean and quartiles of the weights over patients."),
        ],
    )
