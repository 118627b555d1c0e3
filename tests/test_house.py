"""The rules of the house: who may import whom, what an ``__init__`` holds, how long a function may be.

`broken_rules` reads a package's source; nothing is imported. The toy packages below show that each rule can be broken.
"""

import ast
import io
import re
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sksurv_mmf"

# A part may import the parts of the layers before its own, and itself.
LAYERS = [
    ["utils"],
    ["files", "statistics", "layers", "outcome"],
    ["bags", "objectives"],
    ["encoders", "fusions"],
    ["patients"],
    ["networks"],
    ["cohort"],
    ["training"],
    ["predictions"],
    ["survival", "late_fusion"],
    ["plotting", "pages"],
    ["model_selection"],
    ["slides"],
    ["portals"],
    ["inspection"],
    ["evaluation"],
    ["report"],
    ["presets"],
    ["persistence"],
]
MAY_IMPORT = {part: {part}.union(*LAYERS[:i]) for i, layer in enumerate(LAYERS) for part in layer}
MAY_IMPORT |= {part: {part, "utils", "files", "outcome", "bags"} for part in ["preprocessing", "datasets", "slides"]}
MAY_IMPORT["portals"] = {"portals", "utils", "files", "outcome", "bags", "cohort", "plotting"}
MAY_IMPORT["datasets"] |= {"model_selection"}  # where published splits were before
for part in ["presets", "persistence"]:
    MAY_IMPORT[part] |= {"preprocessing"}  # whole pipelines

# Of these packages the names that begin with an underscore, and the modules, may move with any release.
NEIGHBOURS = {"pandas", "skorch", "sklearn", "sksurv", "torch"}

# Who uses private names all the same, and why.
MAY_USE_PRIVATE = {
    "utils/_sklearn.py": "all that is used of scikit-learn's, in one place for the day it moves",
    "bags/_torch_files.py": "the reader by which torch.load opens an archive, so that it reads what was checked",
    "layers/_attention_pooling.py": "the gradient of softmax, which torch has as an operation and not as a function",
    "layers/_products.py": "oneDNN's product, which torch chooses in float32 on no processor",
    "training/_adam.py": "the kernels of Adam without what torch's optimizers do around them, which takes longer",
}

MOST_LINES = 35
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def broken_rules(package):
    """Sentences that say which file of `package` breaks which rule."""
    sources = {path.relative_to(package): ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
    imports = {path: list(imports_of(path, tree, package)) for path, tree in sources.items()}
    inits = {path: tree for path, tree in sources.items() if path.name == "__init__.py"}
    return [
        *(sentence for path, found in imports.items() for sentence in broken_layers(path, found, package)),
        *cycles(imports),
        *(sentence for path, tree in inits.items() for sentence in broken_init(path, tree)),
        *(sentence for path, tree in sources.items() for sentence in private_names(path, tree)),
        *(sentence for path, tree in sources.items() for sentence in too_long(path, tree, package)),
    ]


def imports_of(path, tree, package):
    """Yield (target, at module level): a path within the package, or for an absolute import of it the name."""
    nested = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == package.name]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = relative_targets(path, node, package)
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == package.name:
            names = [node.module]
        for name in names:
            yield name, id(node) not in nested


def relative_targets(path, node, package):
    """Files that a relative import reads."""
    folder = path.parents[node.level - 1]
    module = folder.joinpath(*node.module.split(".")) if node.module else folder
    if (package / module).with_suffix(".py").is_file():
        return [module.with_suffix(".py")]
    submodules = [module / f"{alias.name}.py" for alias in node.names]
    return [file if (package / file).is_file() else module / "__init__.py" for file in submodules]


def part_of(path):
    """Name of the folder, or of the file at the top, that a path belongs to."""
    return path.parts[0].removesuffix(".py")


def broken_layers(path, imports, package):
    for target, _ in imports:
        if isinstance(target, str):
            yield f"{path} imports {target} by its absolute name; use a relative import."
        elif not (package / target).is_file():
            yield f"{path} imports {target}, which does not exist."
        elif target.name == "__init__.py":
            yield f"{path} imports the package {target.parent or '.'}; import the file that defines the name."
        elif path.parts != ("__init__.py",):
            part, other = part_of(path), part_of(target)
            if part not in MAY_IMPORT:
                yield f"{path} is in no layer; give {part} a place in LAYERS."
            elif other not in MAY_IMPORT[part]:
                yield f"{path} imports {target}, but {part} may not know {other}."


def cycles(imports):
    """Cycles of imports at module level."""
    graph = {path: {target for target, at_module_level in found if at_module_level} for path, found in imports.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"Imports form a cycle: {' <- '.join(map(str, error.args[1]))}."


def broken_init(path, tree):
    """An ``__init__`` holds a docstring, relative imports, a complete ``__all__`` and perhaps ``__version__``."""
    imported, listed = set(), set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = set(ast.literal_eval(node.value))
        elif not is_docstring(node) and not is_version(node):
            yield f"{path} holds more than imports and __all__: {ast.unparse(node).splitlines()[0]!r}."
    if not ast.get_docstring(tree):
        yield f"{path} does not say in a docstring what the package is for."
    if imported != listed:
        yield f"{path}: __all__ and the imports differ in {sorted(imported ^ listed)}."


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_version(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"


def private_names(path, tree):
    if path.as_posix() not in MAY_USE_PRIVATE:
        for name in sorted(filter(is_private, set(names_used(tree)))):
            yield f"{path} uses {name}, a private name; find a public one, or give it a reason in MAY_USE_PRIVATE."


def is_private(name):
    """Whether a dotted name is private to a neighbour, or lies in a module that is."""
    package, *parts = name.split(".")
    return package in NEIGHBOURS and any(part.startswith("_") and not part.startswith("__") for part in parts)


def names_used(tree):
    """Dotted names of what a file imports from other packages, and of what it looks up in that."""
    meant = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                first = alias.name.partition(".")[0]
                meant[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                meant[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        first, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        if first in meant and re.fullmatch(r"[\w.]+", rest):
            yield f"{meant[first]}.{rest}"


def too_long(path, tree, package):
    """Functions with more lines of code than `MOST_LINES`, signature, docstrings, comments and empty lines apart."""
    of_code = code_lines((package / path).read_text(), tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = len(of_code.intersection(range(node.body[0].lineno, node.end_lineno + 1)))
            if n_lines > MOST_LINES:
                yield f"{path}: {node.name} has {n_lines} lines of code; {MOST_LINES} are allowed."


def code_lines(text, tree):
    """Numbers of the lines with code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if is_docstring(node):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def personal_paths(text):
    """Absolute paths that exist on one machine only."""
    return re.findall(r"(?<![\w.~}])/(?:home|root|work|Users)/[\w.-]+", text)


def repository_files():
    folders = [ROOT / name for name in ("sksurv_mmf", "tests", "examples", "benchmarks", "docs")]
    files = [path for folder in folders if folder.is_dir() for path in folder.rglob("*")]
    files += [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    texts = {".py", ".md", ".rst", ".txt", ".toml", ""}
    made = {"_build", "gallery", "generated"}  # by the documentation
    return [path for path in files if path.is_file() and path.suffix in texts and made.isdisjoint(path.parts)]


def test_the_house_is_in_order():
    assert broken_rules(PACKAGE) == []


def test_every_part_has_a_place():
    parts = {part_of(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert parts == MAY_IMPORT.keys()


def test_no_file_names_a_place_on_one_machine():
    found = {str(path.relative_to(ROOT)): personal_paths(path.read_text()) for path in repository_files()}
    assert {path: paths for path, paths in found.items() if paths} == {}


@pytest.mark.parametrize("folder", ["home", "root", "work", "Users"])
def test_places_on_one_machine_are_found(folder):
    place = f"/{folder}/ann"
    assert personal_paths(f'read("{place}/cohort.csv")') == [place]
    assert personal_paths(f"https://example.org{place}") == []


# What toy packages need: the two lowest layers, in order.
TOY = {
    "__init__.py": '"""A toy."""\n\nfrom .bags._bag import Bag\n\n__all__ = ["Bag"]\n',
    "utils/__init__.py": '"""Helpers."""\n',
    "utils/_names.py": "NAMES = []\n",
    "bags/__init__.py": '"""Bags."""\n\nfrom ._bag import Bag\n\n__all__ = ["Bag"]\n',
    "bags/_bag.py": "from ..utils._names import NAMES\n\n\nclass Bag:\n    pass\n",
}


def make_toy(folder, files):
    package = folder / "toy"
    for name, text in (TOY | files).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_a_package_in_order_breaks_no_rule(tmp_path):
    newlines = "\n" * MOST_LINES
    files = {
        "encoders/__init__.py": '"""Encoders."""\n',
        "encoders/_base.py": "from ..bags._bag import Bag\nfrom . import _weights\n",
        "encoders/_weights.py": "def weights():\n    from ._base import Bag\n",
        "training/__init__.py": '"""Training."""\n',
        "training/_net.py": "import torch\nfrom ..encoders._base import Bag\n",
        "survival.py": "from .training._net import Bag\nfrom .bags._bag import Bag as Other\n",
        "utils/_sklearn.py": "from sklearn.utils import _safe_indexing as safe_indexing\n",
        "utils/_frames.py": "import numpy._core\nimport pandas as pd\nprint(pd.__version__, pd.DataFrame()._mgr)\n",
        "utils/_short.py": f'def f():\n    """Docs.{newlines}"""\n    # Why.{newlines}    return 1\n',
    }
    assert broken_rules(make_toy(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"bags/_x.py": "from ..survival import Model", "survival.py": ""}, "bags may not know survival"),
        ({"utils/_x.py": "from ..bags._bag import Bag"}, "utils may not know bags"),
        ({"encoders/_x.py": "from ..fusions._y import f", "fusions/_y.py": ""}, "encoders may not know fusions"),
        ({"datasets/_x.py": "from ..encoders._y import f", "encoders/_y.py": ""}, "datasets may not know encoders"),
        ({"survival.py": "from .datasets._y import f", "datasets/_y.py": ""}, "survival may not know datasets"),
        ({"bags/_x.py": "def f():\n    from ..survival import Model", "survival.py": ""}, "may not know survival"),
        ({"bags/_x.py": "from toy.utils._names import NAMES"}, "imports toy.utils._names by its absolute name"),
        ({"bags/_x.py": "def f():\n    import toy"}, "imports toy by its absolute name"),
        ({"survival.py": "from .bags import Bag"}, "survival.py imports the package bags"),
        ({"bags/_x.py": "from . import Bag"}, "bags/_x.py imports the package bags"),
        ({"bags/_x.py": "from ._moon import Moon"}, "which does not exist"),
        ({"plots/_x.py": "from ..bags._bag import Bag"}, "give plots a place in LAYERS"),
        ({"bags/_x.py": "from ._y import f", "bags/_y.py": "from ._x import g"}, "Imports form a cycle"),
        ({"bags/__init__.py": '"""Bags."""\n\nN = 1\n'}, "holds more than imports and __all__: 'N = 1'"),
        ({"bags/__init__.py": '"""Bags."""\n\nfrom numpy import array\n'}, "holds more than imports and __all__"),
        ({"bags/__init__.py": '"""Bags."""\n\nfrom ._bag import Bag\n'}, "differ in ['Bag']"),
        ({"bags/__init__.py": '"""Bags."""\n\n__all__ = ["Bag"]\n'}, "differ in ['Bag']"),
        ({"utils/__init__.py": ""}, "does not say in a docstring"),
        ({"utils/_long.py": "def f():\n" + "    x = 1\n" * (MOST_LINES + 1)}, f"f has {MOST_LINES + 1} lines of code"),
        ({"utils/_long.py": "class A:\n    def f(self):\n" + "        x = (\n1)\n" * MOST_LINES}, "lines of code"),
        ({"bags/_x.py": "from sklearn.utils import _safe_indexing as f"}, "sklearn.utils._safe_indexing, a private"),
        ({"bags/_x.py": "from sklearn.utils._set_output import f"}, "sklearn.utils._set_output.f, a private name"),
        ({"bags/_x.py": "def f():\n    import pandas._libs"}, "pandas._libs, a private name"),
        ({"bags/_x.py": "import torch\nkernel = torch.ops.aten._softmax.default"}, "torch.ops.aten._softmax"),
        ({"bags/_x.py": "from torch import nn as n\nn.modules._functions"}, "torch.nn.modules._functions, a private"),
        ({"bags/_x.py": "import sksurv.metrics\nsksurv.metrics._estimate(1)"}, "sksurv.metrics._estimate, a private"),
    ],
)
def test_a_broken_rule_is_named(tmp_path, files, sentence):
    found = broken_rules(make_toy(tmp_path, files))
    assert found
    assert all(sentence in one for one in found), found
