"""One token per gene set, and the gene sets themselves."""

import gzip

import numpy as np
import pytest
import torch
from chance import margin_of_chance
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import SNN, PathwaySNN, TileTokens, read_gene_sets
from sksurv_mmf.encoders._pathways import GeneSetLinear
from sksurv_mmf.fusions import SurvPath

EXACT = {"rtol": 0, "atol": 0}
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
GENES = [f"G{i}" for i in range(9)]
GENE_SETS = {"many": ["G8", "G0", "G3", "G2", "G5"], "one": ["G7"], "shared": ["G3", "G1", "G7"]}  # G4, G6 in none


def fitted(gene_sets=GENE_SETS, genes=GENES, **params):
    return PathwaySNN(gene_sets, **({"hidden_dim": 6, "min_genes": 1} | params)).fit(torch.empty(0, len(genes)), genes)


def build(*args, embedding_dim=4, **params):
    encoder = fitted(*args, **params)
    torch.manual_seed(0)
    return encoder.build(len(GENES), embedding_dim).double()


@pytest.fixture
def rows():
    return torch.randn(5, len(GENES), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def by_set(tokens):
    """(n_patients, n_sets, embedding_dim)."""
    return tokens.values.unflatten(0, (len(tokens.lengths), tokens.lengths[0]))


def linear_layers(module):
    return list(module)[::3]  # linear, activation, dropout, linear, ...


def rows_by_set(layer, values):
    """Rows of `values`, which lie in the order of the sizes of sets like the weights, for each set."""
    sorted_sizes = [size for size, length in zip(layer.sizes, layer.lengths) for _ in range(length // size)]
    parts = values.split(sorted_sizes)
    return [parts[i] for i in layer.position]


def one_snn_per_set(module, encoder):
    """Plain SNNs with the weights of the batched module."""
    first, *others = linear_layers(module)
    networks = []
    for s, columns in enumerate(encoder.columns_.values()):
        snn = SNN(encoder.hidden_dim, n_layers=encoder.n_layers, activation=encoder.activation, dropout=encoder.dropout)
        snn = snn.build(len(columns), module.out_dim).double()
        weights = [rows_by_set(first, first.weight)[s], *(linear.weight[s] for linear in others)]
        with torch.no_grad():
            for plain, batched, weight in zip(linear_layers(snn), [first, *others], weights):
                plain.weight.copy_(weight.T)
                plain.bias.copy_(batched.bias[s, 0])
        networks.append(snn)
    return networks


@pytest.mark.parametrize("activation", ["elu", "selu"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_it_equals_one_snn_per_set(rows, n_layers, activation):
    gene_sets = GENE_SETS | {"as large": ["G0", "G6", "G3"], "as small": ["G0"]}
    encoder = fitted(gene_sets, n_layers=n_layers, activation=activation, dropout=0.0)
    module = encoder.build(len(GENES), 4).double()
    for parameter in module.parameters():  # biases too
        torch.nn.init.normal_(parameter)
    networks = one_snn_per_set(module, encoder)
    tokens = module(rows)
    expected = torch.stack([snn(rows[:, c]) for snn, c in zip(networks, encoder.columns_.values())], dim=1)
    assert tokens.lengths == (5,) * 5
    assert_close(by_set(tokens), expected, **ROUNDING)

    direction = torch.randn_like(expected)
    (by_set(tokens) * direction).sum().backward()
    (expected * direction).sum().backward()
    for i, batched in enumerate(linear_layers(module)):
        plain = [linear_layers(snn)[i] for snn in networks]
        gradients = rows_by_set(batched, batched.weight.grad) if i == 0 else list(batched.weight.grad)
        assert_close(gradients, [one.weight.grad.T for one in plain], **ROUNDING)
        assert_close(batched.bias.grad[:, 0], torch.stack([one.bias.grad for one in plain]), **ROUNDING)


def test_tokens_equal_survpath(reference):
    arrays = reference("survpath_model_tiny")
    vectors = [arrays[f"in/omic{s}"] for s in (1, 2, 3)]
    names = [f"G{i}" for i in range(16)]
    gene_sets = {"a": names[:5], "b": names[5:8], "c": names[8:]}
    module = fitted(gene_sets, names, hidden_dim=16).build(16, 16).eval()
    first, second = linear_layers(module)
    theirs = "sd/sig_networks.{}.{}.0.{}".format
    with torch.no_grad():
        for s, weight in enumerate(rows_by_set(first, first.weight)):
            weight.copy_(torch.as_tensor(arrays[theirs(s, 0, "weight")]).T)
        second.weight.copy_(torch.stack([torch.as_tensor(arrays[theirs(s, 1, "weight")]).T for s in range(3)]))
        for block, linear in enumerate([first, second]):
            biases = [torch.as_tensor(arrays[theirs(s, block, "bias")]) for s in range(3)]
            linear.bias.copy_(torch.stack(biases).unsqueeze(1))
    row = torch.as_tensor(np.concatenate(vectors)).unsqueeze(0)
    expected = torch.as_tensor(arrays["f64/wsi7/tokens"])[0, :3]
    assert_close(module(row).values, expected.float(), rtol=1e-5, atol=1e-6)
    assert_close(module.double()(row.double()).values, expected, rtol=1e-10, atol=1e-12)


def test_a_token_depends_on_the_genes_of_its_set_alone(rows):
    module = build().eval()
    rows.requires_grad_()
    tokens = by_set(module(rows))
    for s, genes in enumerate(GENE_SETS.values()):
        (gradient,) = torch.autograd.grad(tokens[:, s].sum(), rows, retain_graph=True)
        inside = torch.tensor([gene in genes for gene in GENES])
        assert (gradient[:, inside] != 0).all()
        assert not gradient[:, ~inside].any()


def test_order_of_columns_does_not_matter(rows):
    order = np.random.default_rng(0).permutation(len(GENES))
    permuted = build(genes=[GENES[i] for i in order]).eval()
    assert_close(permuted(rows[:, order]).values, build().eval()(rows).values, **EXACT)


def test_a_patient_does_not_notice_the_others(rows):
    module = build().eval()
    alone = torch.cat([module(row.unsqueeze(0)).values for row in rows])
    assert_close(module(rows).values, alone, **ROUNDING)


def test_there_are_weights_for_genes_and_nothing_else():
    first, second = linear_layers(build())
    assert first.weight.shape == (5 + 1 + 3, 6)
    assert second.weight.shape == (3, 6, 4)


def test_weights_start_with_the_variance_of_each_sets_own_fan_in():
    sizes = (4, 40, 400)
    torch.manual_seed(0)
    columns = [np.arange(size) for size in sizes]
    layer = GeneSetLinear(columns, 5000)
    for size, weight in zip(sizes, layer.weight.split(sizes)):
        assert weight.var().item() * size == pytest.approx(1, rel=0.03)
        assert abs(weight.mean().item()) < 4 * (weight.numel() * size) ** -0.5
    _, second = linear_layers(build(hidden_dim=300, embedding_dim=100))
    assert second.weight.var().item() * 300 == pytest.approx(1, rel=0.03)
    assert not layer.bias.any()
    assert not second.bias.any()


def test_dropout_acts_in_training_only(rows):
    module = build(dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(module(rows).values, module(rows).values)
    without = build(dropout=0.0)
    assert_close(module.eval()(rows).values, without(rows).values, **EXACT)


class TestMatchingOfNames:
    def test_positions_follow_the_set_and_repeated_genes_count_once(self):
        encoder = fitted({"a": ["G3", "G1", "G3", "unmeasured"], "b": ["G1"]})
        assert {name: columns.tolist() for name, columns in encoder.columns_.items()} == {"a": [3, 1], "b": [1]}
        assert encoder.unread_features_ == ["G0", "G2", "G4", "G5", "G6", "G7", "G8"]

    def test_sets_with_too_few_measured_genes_are_counted_and_named(self):
        with pytest.warns(UserWarning, match=r"2 of 3 gene sets have fewer than min_genes=4 .*: 'one', 'shared'\."):
            encoder = fitted(min_genes=4)
        assert list(encoder.columns_) == ["many"]
        assert encoder.build(len(GENES), 4)(torch.zeros(2, len(GENES))).lengths == (1, 1)

    def test_only_many_names_are_shortened(self):
        gene_sets = {f"S{i}": ["absent"] for i in range(50)} | {"there": ["G1"]}
        with pytest.warns(UserWarning, match=r"50 of 51 .* 'S4' and 45 more\."):
            fitted(gene_sets)

    @pytest.mark.parametrize(
        ("genes", "message"),
        [
            (
                ["ENSG1", "ENSG2"],
                r"0 of their 7 genes are among the 2 columns.*'G8', 'G0', 'G3' and 4 more; the columns "
                r"are 'ENSG1', 'ENSG2'.*Ensembl",
            ),
            (["g7", "g8", "x"], r"0 of their 7 .*With upper and lower case alike, 2 would match"),
            (["G7", "G8", "x"], r"None of the 3 gene sets has min_genes=3 measured genes: 2 of their 7 .*'x'\.$"),
            (["rna__G7", "rna__G8"], r"Without what stands before '__', 2 would match.*name of the modality"),
            (["0", "1", "2"], r"columns are numbered.*DataFrame that names the genes"),
            (["672", "7157"], r"both Ensembl or Entrez identifiers\?$"),
        ],
        ids=["identifiers", "case", "too few", "prefix", "positions", "entrez"],
    )
    def test_no_set_left(self, genes, message):
        with pytest.raises(ValueError, match=message):
            fitted(genes=genes, min_genes=3)

    @pytest.mark.parametrize(
        ("gene", "column", "message"),
        [
            ("rna__TP53", "TP53", "Without what stands before '__', 1 would match"),
            ("ENSG00000141510", "ENSG00000141510.18", r"Without the version of Ensembl.* 1 would match"),
            ("ENSG00000141510.17", "ENSG00000141510.18", r"Without the version of Ensembl.* 1 would match"),
        ],
    )
    def test_what_either_side_has_too_much_is_recognised(self, gene, column, message):
        with pytest.raises(ValueError, match=message):
            fitted({"a": [gene]}, [column])

    def test_a_repeated_column_is_refused(self):
        with pytest.raises(ValueError, match="'G1' occur more than once"):
            fitted(genes=[*GENES, "G1"])

    @pytest.mark.parametrize(
        ("gene_sets", "message"),
        [
            ({}, "no gene sets"),
            ({"a": []}, "'a' has no genes"),
            ({"a": "TP53"}, "'a' must be a list of gene names, got the str 'TP53'"),
            ({"a": ["TP53", 3]}, "'a': names must be strings, got 3"),
            ({"a": None}, "'a' must be a list of gene names"),
            ({"a": (gene for gene in GENES)}, "'a' must be a list of gene names, got the generator"),
        ],
    )
    def test_gene_sets_that_are_none(self, gene_sets, message):
        with pytest.raises(ValueError, match=message):
            fitted(gene_sets)

    def test_build_wants_fit_first(self):
        with pytest.raises(NotFittedError, match=r"PathwaySNN is not fitted.*names of the features"):
            PathwaySNN(GENE_SETS).build(9, 4)


class TestGMT:
    @pytest.fixture
    def write(self, tmp_path):
        def write(text):
            path = tmp_path / "sets.gmt"
            path.write_bytes(text.encode())
            return path

        return write

    def test_fields_blank_lines_and_repeated_genes(self, write):
        path = write("A\thttp://x\tTP53\tBAX\tTP53\r\n\n \t\nB SET\t\tCA9\t\t\n")
        assert read_gene_sets(path) == read_gene_sets(str(path)) == {"A": ["TP53", "BAX"], "B SET": ["CA9"]}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("A\t\tTP53\n\nA TP53 BAX\n", r"sets\.gmt, line 3: expected .* separated by tabs, got 'A TP53 BAX'"),
            ("\t\tTP53\n", r"line 1: the name .* is empty: '\\t\\tTP53'"),
            ("A\tTP53\n", "line 1: gene set 'A' has no genes"),
            ("A\t\t\t \n", "line 1: gene set 'A' has no genes"),
            ("A\t\tTP53\nB\t\tBAX\nA\t\tCA9\n", "line 3: gene set 'A' is in line 1 already"),
            ("\n\n", r"sets\.gmt has no gene sets"),
        ],
    )
    def test_malformed_files_are_named(self, write, text, message):
        with pytest.raises(ValueError, match=message):
            read_gene_sets(write(text))

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_compression_and_byte_order_mark_change_nothing(self, tmp_path, compress, encoding):
        path = tmp_path / "sets"
        path.write_bytes(compress("Zellzyklus \u00fc\t\tTP53\tBAX\n".encode(encoding)))
        assert read_gene_sets(path) == {"Zellzyklus \u00fc": ["TP53", "BAX"]}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("\u00fc\t\tTP53".encode("latin-1"), r"sets is no text in UTF-8.*latin-1"),
            (gzip.compress(b"A\t\tTP53\n" * 100, mtime=0)[:-9], "sets is a damaged gzip file"),
        ],
    )
    def test_files_that_are_no_text_are_named(self, tmp_path, content, message):
        path = tmp_path / "sets"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_gene_sets(path)

    def test_what_is_no_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"path='.*' is a folder; a regular file is expected"):
            read_gene_sets(tmp_path)
        with pytest.raises(TypeError, match=r"path must be .*, got 0"):
            read_gene_sets(0)

    def test_the_file_is_read_by_fit(self, write, rows):
        lines = ["\t".join([name, "", *genes]) for name, genes in GENE_SETS.items()]
        path = write("\n".join(lines))
        for form in (path, str(path)):
            assert_close(build(form).eval()(rows).values, build().eval()(rows).values, **EXACT)
        encoder = clone(PathwaySNN(path))
        path.unlink()
        with pytest.raises(FileNotFoundError, match=r"sets\.gmt"):
            encoder.fit(rows, GENES)


def test_in_an_estimator_names_decide(make_cohort):
    cohort = make_cohort(n_patients=60, n_genes=6)
    gene_sets = {"signal": ["G0", "G1"], "noise": ["G2", "G3", "G4"]}
    model = FusionSurvivalAnalysis(
        [("wsi", TileTokens()), ("rna", PathwaySNN(gene_sets, hidden_dim=4, dropout=0.0, min_genes=2))],
        SurvPath(hidden_dim=8, dropout=0.0),
        embedding_dim=8,
        n_estimators=1,
        max_epochs=15,
        lr=0.01,
        device="cpu",
        random_state=0,
    )
    X = cohort.X
    risk = model.fit(X, cohort.y).predict(X)
    assert model.score(X, cohort.y) > 0.5 + margin_of_chance(cohort.y, risk)
    unread = X.assign(rna__G5=X["rna__G5"] + 10)
    np.testing.assert_array_equal(model.predict(unread), risk)
    permuted = X[X.columns[::-1]]
    model.set_params(max_epochs=1)  # more steps of Adam make much of a rounding error
    risk = model.fit(X, cohort.y).predict(X)
    np.testing.assert_allclose(model.fit(permuted, cohort.y).predict(permuted), risk, rtol=1e-5)
