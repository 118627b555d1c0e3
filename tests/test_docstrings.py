"""What the docstrings of the public API say is true: parameters, defaults, and an example for everything."""

import ast
import inspect
import pkgutil
import re
from importlib import import_module

import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.utils.metaestimators import available_if

import sksurv_mmf

NOTHING = inspect.Parameter.empty

# What is called otherwise in this package.
OTHER_NAMES = {
    **dict.fromkeys(["confidence", "conf_level", "level", "ci"], "confidence_level"),
    **dict.fromkeys(["workers", "n_workers", "num_workers", "n_threads"], "n_jobs"),
    **dict.fromkeys(["colors", "colour", "colours"], "color"),
    **dict.fromkeys(["eval_times", "at_times", "times"], "horizons"),
    **dict.fromkeys(["seed", "rng"], "random_state"),
}

INTERNAL = {"sksurv_mmf.training": "The machinery below the estimator: typed, and called by survival.py alone."}


def public_modules():
    """The package and what is below it, without private parts."""
    names = [name for _, name, _ in pkgutil.walk_packages(sksurv_mmf.__path__, "sksurv_mmf.")]
    return ["sksurv_mmf", *(name for name in names if "._" not in name and name not in INTERNAL)]


def public_objects():
    """Classes and functions that an ``__all__`` names, by their full name."""
    for module in map(import_module, public_modules()):
        for name in getattr(module, "__all__", []):
            if callable(getattr(module, name)):
                yield f"{module.__name__}.{name}", getattr(module, name)


OBJECTS = dict(public_objects())


def documented_functions(name, thing):
    """Yield (name, docstring, signature) of a function, or of a class and its public methods."""
    if not inspect.isclass(thing):
        yield name, inspect.getdoc(thing), inspect.signature(thing)
        return
    yield name, inspect.getdoc(thing), inspect.signature(thing)
    for key, method in inspect.getmembers(thing, inspect.isroutine):
        if not key.startswith("_") and is_ours(method, thing):
            yield f"{name}.{key}", inspect.getdoc(method), without_self(inspect.signature(method), thing, key)


def is_ours(method, owner):
    package = owner.__module__.partition(".")[0]
    return getattr(method, "__module__", None) is not None and method.__module__.partition(".")[0] == package


def without_self(signature, owner, key):
    if isinstance(inspect.getattr_static(owner, key), classmethod | staticmethod):
        return signature
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def real_defaults(signature):
    """Names as numpydoc writes them, with the defaults."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {stars.get(one.kind, "") + name: one.default for name, one in signature.parameters.items()}


def documented_defaults(doc):
    """Names in the Parameters sections, with the text after ``default=``."""
    parsed = NumpyDocString(doc)
    found = {}
    for parameter in parsed["Parameters"] + parsed["Other Parameters"]:
        default = re.search(r"default=(.+)$", parameter.type)
        for name in parameter.name.split(", "):
            found[name] = default[1].strip() if default else NOTHING
    return found


def same(text, default):
    """Whether the text of a docstring means the default of the signature."""
    if NOTHING in (text, default) or not isinstance(text, str):
        return text is default
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text == repr(default)
    return type(value) is type(default) and value == default


def wrong_docstrings(name, thing):
    """Sentences that say where docstrings and signatures differ."""
    for where, doc, signature in documented_functions(name, thing):
        if not doc:
            yield f"{where} has no docstring."
            continue
        real, documented = real_defaults(signature), documented_defaults(doc)
        for parameter in real.keys() - documented.keys():
            yield f"{where}: parameter {parameter} is not documented."
        for parameter in documented.keys() - real.keys():
            yield f"{where}: the documented parameter {parameter} does not exist."
        for parameter in documented.keys() & real.keys():
            if not same(documented[parameter], real[parameter]):
                said, is_so = (
                    "no default" if default is NOTHING else default
                    for default in (documented[parameter], real[parameter])
                )
                yield f"{where}: the default of {parameter} is {is_so!r}, documented is {said!r}."


def has_example(thing):
    return any(">>>" in line for line in NumpyDocString(inspect.getdoc(thing))["Examples"])


def test_the_walk_finds_the_public_api():
    expected = {
        "sksurv_mmf.FusionSurvivalAnalysis",
        "sksurv_mmf.encoders.AttentionMIL",
        "sksurv_mmf.utils.estimator_checks.check_survival_estimator",
    }
    assert expected <= OBJECTS.keys()
    assert not [name for name in OBJECTS if "._" in name]
    assert not INTERNAL.keys() - {name for _, name, _ in pkgutil.walk_packages(sksurv_mmf.__path__, "sksurv_mmf.")}


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_agrees_with_signature(name):
    assert list(wrong_docstrings(name, OBJECTS[name])) == []


def test_one_vocabulary():
    functions = [one for name, thing in OBJECTS.items() for one in documented_functions(name, thing)]
    parameters = [(name, parameter) for name, _, signature in functions for parameter in signature.parameters.values()]
    assert [(name, one.name) for name, one in parameters if one.name in OTHER_NAMES] == []
    silent = [one.default for _, one in parameters if one.name == "verbose"]
    assert len(silent) > 5
    assert all(default is False for default in silent)


def test_summaries_cite_nothing():
    # In a list of names the label of a citation leads nowhere.
    summaries = {name: inspect.getdoc(thing).partition("\n\n")[0] for name, thing in OBJECTS.items()}
    assert [name for name, summary in summaries.items() if re.search(r"\[\w+\]_", summary)] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_there_is_an_example(name):
    assert has_example(OBJECTS[name])


def is_willing(self):
    return self.n > 0


class Toy:
    """A class whose docstring has drifted from its code.

    Parameters
    ----------
    n : int, default=3
        Has become 4.
    rate : float, default=1.0
        Is right.
    kind : {"a", "b"}, default="a"
        Has become "b".
    count : int, default=1
        Has become 1.0.
    needed : bool
        Has got a default.
    free : bool, default=True
        Has lost it.
    gone : int
        Is no parameter any more.
    """

    def __init__(self, free, n=4, rate=1.0, kind="b", count=1.0, needed=False, new=None):
        pass

    @available_if(is_willing)
    def method(self, X, *rest, mode=None, **params):
        """Do something.

        Parameters
        ----------
        X : array
            Is right.
        *rest : tuple
            Is right.
        mode : str or None, default=0
            Is None.
        """

    @staticmethod
    def other(x=(1, 2)):
        """Do something else.

        Parameters
        ----------
        x : tuple, default=(1, 2)
            Is right.
        """

    def bare(self):
        pass

    def _private(self, x):
        pass


def test_drifted_docstrings_are_found():
    assert sorted(wrong_docstrings("Toy", Toy)) == sorted(
        [
            "Toy: the default of n is 4, documented is '3'.",
            "Toy: the default of kind is 'b', documented is '\"a\"'.",
            "Toy: the default of count is 1.0, documented is '1'.",
            "Toy: the default of needed is False, documented is 'no default'.",
            "Toy: the default of free is 'no default', documented is 'True'.",
            "Toy: the documented parameter gone does not exist.",
            "Toy: parameter new is not documented.",
            "Toy.method: the default of mode is None, documented is '0'.",
            "Toy.method: parameter **params is not documented.",
            "Toy.bare has no docstring.",
        ]
    )


def test_a_missing_example_is_found():
    assert not has_example(Toy)
