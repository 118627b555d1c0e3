"""Files of the first format, read as if they were of the present one."""

import re

LAYER = re.compile(r"encoders\.(\d+)\.([01])\.")  # at the beginning of a name


def upgrade_network(node, weights):
    """JSON and weights of a network in the present format; those of a file of the first format are rewritten.

    It kept encoders apart from the modalities that they read, and named what standardises a modality and its encoder
    by their positions.
    """
    state = node["network"]["state"]
    if "_layout" not in state:
        return node, weights
    layout, read = state["_layout"], state["modalities_"]
    if len(layout) != len(read):
        raise ValueError(f"parameters.json has {len(read)} encoders, {len(layout)} modalities")
    modalities = [_with_encoder(modality, one["tuple"]) for modality, one in zip(layout, read)]
    state = {name: value for name, value in state.items() if name != "_layout"} | {"modalities_": modalities}
    first = [
        "standardize" if state["standardize"] and not modality["state"]["is_bag"] else "encoder" for modality in layout
    ]

    weights = {_renamed(name, first): weight for name, weight in weights.items()}
    return {**node, "network": {**node["network"], "state": state}}, weights


def _renamed(name, first):
    """Present name of a weight; `first` says for each modality what its first layer was."""
    found = LAYER.match(name)
    if not found or int(found[1]) >= len(first):  # of another part, or of none, which is told later
        return name
    layer = first[int(found[1])] if found[2] == "0" else "encoder"
    return f"encoders.{found[1]}.{layer}.{name[found.end() :]}"


def _with_encoder(modality, read):
    name, encoder, columns = read
    state = modality["state"]
    if (name, columns) != (state["name"], state["columns"]):
        raise ValueError(
            f"parameters.json has an encoder of modality {name!r:.80}, columns {columns!r:.80}, where that of "
            f"{state['name']!r:.80}, columns {state['columns']!r:.80}, is expected"
        )
    return {**modality, "state": {**state, "encoder": encoder}}
