import zlib

import pytest
import torch
from torch import nn

from cnnlib import compress, fetch
from cnnlib.compress import file
from cnnlib.models import create_model

CODINGS = ("dense", "sparse", "shared", "huffman")


def network():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 36, 30),
        nn.Linear(30, 3),
    )


@pytest.fixture
def compressed():
    torch.manual_seed(0)
    model = network()
    model[1].running_mean.normal_()
    compress.prune(model, {"0": 0.5, "4": 0.05})  # rare enough for fillers
    compress.share(model, {"0": 6, "4": 4, "5": 3})
    return model


def plain_state(model):
    compress.settle(model)
    return model.state_dict()


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_read_is_what_was_written_bit_for_bit(compressed, coding, tmp_path):
    size = compress.save(compressed, tmp_path / "net.cnnc", coding)
    assert size.total == (tmp_path / "net.cnnc").stat().st_size
    other = network()
    compress.load(tmp_path / "net.cnnc", other)
    expected = plain_state(compressed)
    assert list(other.state_dict()) == list(expected)
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


def test_each_step_makes_the_file_smaller(compressed):
    sizes = [compress.measure(compressed, coding) for coding in CODINGS]
    totals = [size.total for size in sizes]
    assert totals == sorted(totals, reverse=True) and len(set(totals)) == 4
    assert sizes[0].gaps == sizes[0].codebooks == sizes[0].tables == 0
    assert sizes[0].values == 4 * sum(row.weights for row in compress.report(compressed))
    assert sizes[3].tables > 0 == sizes[2].tables
    assert len({size.rest for size in sizes}) == 1
    biases, norm = 30 + 3, 4 * 6
    assert sizes[0].rest == 4 * (biases + norm) + 8  # float32, and the int64 that counts batches


def test_sizes_are_those_that_the_definition_gives(compressed):
    size = compress.measure(compressed, "shared", gap_bits=4)
    bits = 0
    for row in compress.report(compressed):
        layer = compressed.get_submodule(row.layer)
        positions = (layer.weight != 0).flatten().nonzero().flatten().tolist()
        if row.share == 1:
            bits += (row.weights * row.bits + 7) // 8
            continue
        written, before = 0, -1
        for place in positions:
            written += 1 + (place - before - 1) // 16
            before = place
        bits += (written * row.bits + 7) // 8 + (written * 4 + 7) // 8
    assert size.values + size.gaps == bits


def test_narrow_gaps_need_more_fillers(compressed):
    values = [compress.measure(compressed, "shared", gap_bits={"4": b}).values for b in (8, 5, 2)]
    assert values == sorted(values) and values[0] < values[2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("coding", CODINGS)
def test_other_precisions_come_back_too(coding, dtype):
    torch.manual_seed(0)
    model = network().to(dtype)
    compress.prune(model, {"4": 0.3})
    compress.share(model, {"4": 3})
    other = network().to(dtype)
    compress.unpack(compress.pack(model, coding), other)
    expected = plain_state(model)
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


def test_a_network_of_the_book_and_a_layer_alone_come_back():
    torch.manual_seed(0)
    for make in (lambda: create_model("lenet5"), lambda: nn.Linear(7, 3)):
        model, other = make(), make()
        compress.prune(model, 0.5)
        compress.share(model, 4)
        compress.unpack(compress.pack(model), other)
        expected = plain_state(model)
        assert all(torch.equal(other.state_dict()[key], expected[key]) for key in expected)


def test_the_same_model_gives_the_same_bytes(compressed):
    assert compress.pack(compressed) == compress.pack(compressed)


def test_every_changed_byte_is_noticed(compressed):
    data = compress.pack(compressed)
    for place in range(0, len(data), 37):
        spoilt = bytearray(data)
        spoilt[place] ^= 64
        model = network()
        before = [tensor.clone() for tensor in model.state_dict().values()]
        with pytest.raises(ValueError, match="damaged|not a compressed model|later cnnlib"):
            compress.unpack(bytes(spoilt), model)
        assert all(map(torch.equal, before, model.state_dict().values()))


@pytest.mark.parametrize("length", [0, 4, 9, 200, -1])
def test_a_cut_file_is_noticed(compressed, length, tmp_path):
    path = tmp_path / "cut.cnnc"
    path.write_bytes(compress.pack(compressed)[:length])
    with pytest.raises(ValueError, match=r"cut.cnnc is (damaged|not a compressed)"):
        compress.load(path, network())


def test_a_file_of_another_model_is_told_apart(compressed):
    data = compress.pack(compressed)
    wider = network()
    wider[5] = nn.Linear(30, 4)
    with pytest.raises(ValueError, match=r"'5.bias' is torch.float32 of shape \(3,\).*\(4,\)"):
        compress.unpack(data, wider)
    longer = network().append(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="only the model has '6.bias'"):
        compress.unpack(data, longer)
    with pytest.raises(ValueError, match="only net.cnnc has '5.bias'"):
        compress.unpack(data, network()[:5], "net.cnnc")
    with pytest.raises(ValueError, match="float32.*float64"):
        compress.unpack(data, network().double())
    with pytest.raises(ValueError, match="'0' is pruned or shared"):
        compress.unpack(data, compressed)


def test_a_later_format_is_named_as_such(compressed):
    data = bytearray(compress.pack(compressed))
    data[4] = 9
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="format of a later cnnlib, 9"):
        compress.unpack(bytes(data), network())


def test_a_file_that_cannot_be_written_leaves_the_old_one(compressed, tmp_path, monkeypatch):
    path = tmp_path / "net.cnnc"
    compress.save(compressed, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(fetch.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        compress.save(compressed, path, "dense")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.cnnc"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"coding": "zip"}, "one of dense, sparse, shared, huffman; got 'zip'"),
        ({"coding": "huffman"}, "call share first"),
        ({"coding": "sparse", "gap_bits": 0}, "1 to 16 bits, got 0"),
        ({"coding": "sparse", "gap_bits": {"conv*": 4}}, "gap_bits: 'conv\\*' names no layer"),
    ],
)
def test_a_wrong_wish_is_said_before_anything_is_written(options, message, tmp_path):
    model = network()
    compress.prune(model, 0.5)
    with pytest.raises(ValueError, match=message):
        compress.save(model, tmp_path / "net.cnnc", **options)
    assert not list(tmp_path.iterdir())


def test_default_gaps_are_those_of_the_paper():
    assert file.GAP_BITS == {"convolution": 8, "fully connected": 5}
