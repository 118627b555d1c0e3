"""What every error and warning of the package has: a capital, or the argument's name, and a full stop.

The sources are read, so that messages count that no other test provokes. Values in braces are unknown here.
"""

import ast
import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import sksurv_mmf

PACKAGE = Path(sksurv_mmf.__path__[0])

# Here a message may go on with a sentence that a caller begins, and begin with a small letter.
FRAGMENTS = {
    **dict.fromkeys(
        [f"bags/_{name}.py" for name in ("checks", "compressed", "files", "store", "zarr_chunks")]
        + [f"bags/_{kind}_files.py" for kind in ("hdf5", "numpy", "parquet", "torch", "zarr", "zip")],
        "read_bags begins: Feature file '...' cannot be used: it ...",
    ),
    "files/_download.py": "fetch begins: What ... sends is not the file that is expected, and was not kept: it ...",
    **dict.fromkeys(
        [f"files/_{name}.py" for name in ("archive", "tensors", "tree")]
        + ["layers/_lockstep.py", "training/_checkpoint.py", "training/_net_state.py"],
        "load_model begins, or a fit that goes on: The checkpoint '...' cannot be used, because it ...",
    ),
    **{
        f"persistence/{path.name}": "load_model begins: '...' cannot be loaded, because it ..."
        for path in (PACKAGE / "persistence").glob("*.py")
    },
}
# Values that are sentences of their own.
SENTENCES = {"error", "reason", "describe_mismatch(gene_sets, feature_names)"}
# Their texts are the reasons in the tables of compare_models.
PHRASES = {"ScoreDoesNotExist"}


def public_names():
    """Names with which a message may begin: parameters, and what objects of the package have."""
    modules = [name for _, name, _ in pkgutil.walk_packages(sksurv_mmf.__path__, "sksurv_mmf.") if "._" not in name]
    for module in map(import_module, ["sksurv_mmf", *modules]):
        for thing in (getattr(module, name) for name in getattr(module, "__all__", [])):
            functions = [thing]
            if inspect.isclass(thing):
                own = [name for name in dir(thing) if not name.startswith("_")]
                yield from own
                functions += [getattr(thing, name) for name in own if inspect.isroutine(getattr(thing, name))]
            for function in filter(callable, functions):
                yield from inspect.signature(function).parameters


def messages(tree):
    """Yield (line, name of the exception, node of the message) of what is raised or warned of."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        is_warning = isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
        if isinstance(call, ast.Call) and call.args and (isinstance(node, ast.Raise) or is_warning):
            yield call.lineno, ast.unparse(call.func), call.args[0]


def endings(node):
    """Yield the parts, texts and values, of each way in which a message may go."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield [node]
    elif isinstance(node, ast.JoinedStr):
        yield node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (one + other for one in endings(node.left) for other in endings(node.right))
    elif isinstance(node, ast.IfExp):
        yield from (*endings(node.body), *endings(node.orelse))


def is_text(part):
    return isinstance(part, ast.Constant)


def begins_well(parts, names):
    """Whether a message begins with a capital, the name of an argument, or a value."""
    if not is_text(parts[0]):
        return True
    word = re.match(r"\w*", parts[0].value)[0]
    return word[:1].isupper() or word in names


def ends_well(parts):
    """Whether a message ends with a full stop; after one, or as the reason, a value may be a sentence of its own."""
    if is_text(parts[-1]):
        return re.search(r"\.\)?$", parts[-1].value) is not None
    before = parts[-2].value if len(parts) > 1 and is_text(parts[-2]) else ""
    if before == " ":
        return ends_well(parts[:-2])
    is_reason = parts[-1].conversion == -1 and ast.unparse(parts[-1].value) in SENTENCES
    return re.search(r"\.\)?\s?$", before) is not None or (before.endswith(": ") and is_reason)


def faults(source, names, is_fragment=False):
    """Yield line and text of the messages that do not begin or end as they should."""
    for line, exception, node in messages(ast.parse(source)):
        for parts in endings(node):
            is_whole = not is_fragment or (is_text(parts[0]) and parts[0].value[:1].isupper())
            if exception not in PHRASES and is_whole and not (begins_well(parts, names) and ends_well(parts)):
                yield line, ast.unparse(node)


def test_messages_are_sentences():
    names = set(public_names())
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        found += [f"{name}:{line} {text}" for line, text in faults(path.read_text(), names, name in FRAGMENTS)]
    assert found == []


def test_fragments_are_where_they_are_said_to_be():
    names = set(public_names())
    assert [name for name in FRAGMENTS if not (PACKAGE / name).is_file()] == []
    without = {name for name in FRAGMENTS if not list(faults((PACKAGE / name).read_text(), names))}
    assert without <= {f"persistence/{name}.py" for name in ("__init__", "_later_parameters")}


@pytest.mark.parametrize(
    "message",
    [
        "'lr must be positive.'",
        "f'lr={lr!r} is not positive.'",
        "f'{name} has no columns.'",
        "f'Nothing is left. {way_out}'",
        "f'Nothing is left.{hint}'",
        "f'Nothing is left. {advice} {way_out}'",
        "f'The bag cannot be read: {error}'",
        "'Nothing is left. (Patients without events do not count.)'",
        "'Nothing is left.' if n else 'Nothing is there.'",
        "text",
    ],
)
def test_sentences_are_taken(message):
    assert list(faults(f"raise ValueError({message})", {"lr"})) == []


@pytest.mark.parametrize(
    "message",
    [
        "'nothing is left.'",
        "'Nothing is left'",
        "f'Nothing is left of {name}'",
        "f'Nothing is left of {name!r}'",
        "f'Nothing is left: {shorten(names)}'",
        "f'Nothing is left: {error!r}'",
        "f'{name} has no columns'",
        "f'Nothing is left of {name} {way_out}'",
        "'Nothing is left' if n else 'Nothing is there.'",
        "'Nothing is left. ' + ('try again.' if n else 'use more')",
    ],
)
@pytest.mark.parametrize("statement", ["raise ValueError({})", "warnings.warn({}, stacklevel=2)"])
def test_other_messages_are_found(statement, message):
    assert list(faults(statement.format(message), {"lr"}))


def test_a_fragment_may_begin_with_a_small_letter_only():
    assert list(faults("raise ValueError('it is damaged')", set(), is_fragment=True)) == []
    assert list(faults("raise ValueError('The file is damaged')", set(), is_fragment=True))
