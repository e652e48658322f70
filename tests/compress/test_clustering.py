import pytest
import torch
from scipy.cluster.vq import kmeans2

from cnnlib.compress import cluster


def test_three_heaps_get_their_means():
    values = torch.tensor([5.0, -1.0, 0.1, 5.2, -1.2, 0.3, -1.1])
    centres, codes = cluster(values, 3, "density")
    assert centres.tolist() == pytest.approx([-1.1, 0.2, 5.1])
    assert codes.tolist() == [2, 0, 1, 2, 0, 1, 0]


def test_a_centre_that_nothing_is_nearest_to_is_left_out():
    centres, codes = cluster(torch.tensor([0.0, 0.1, 0.2, 10.0]), 3)  # none is near 5
    assert centres.tolist() == pytest.approx([0.1, 10.0])
    assert codes.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("initial", ["linear", "density"])
def test_the_centres_are_those_of_scipy_from_the_same_start(initial):
    values = torch.randn(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    line = values.sort().values
    start = {
        "linear": torch.linspace(float(line[0]), float(line[-1]), 15, dtype=torch.float64),
        "density": line[((torch.arange(15) + 0.5) / 15 * 2000).long()],
    }[initial]
    theirs, labels = kmeans2(values.numpy(), start.numpy(), iter=200, minit="matrix")
    centres, codes = cluster(values, 15, initial, iterations=200)
    assert torch.allclose(centres, torch.from_numpy(theirs))
    assert codes.tolist() == labels.tolist()


@pytest.mark.parametrize("initial", ["linear", "density", "random"])
def test_each_value_has_its_nearest_centre_and_each_centre_is_a_mean(initial):
    values = torch.randn(500, generator=torch.Generator().manual_seed(2)) ** 3
    centres, codes = cluster(values, 7, initial, iterations=500)
    assert torch.equal(codes, (values[:, None] - centres).abs().argmin(1))
    for number, centre in enumerate(centres):
        assert float(centre) == pytest.approx(float(values[codes == number].mean()), abs=1e-5)
    assert torch.equal(centres, centres.sort().values)


def test_few_different_values_stand_for_themselves():
    values = torch.tensor([2.0, 1.0, 2.0, 2.0])
    centres, codes = cluster(values, 31)
    assert torch.equal(centres[codes], values)
    assert len(centres) == 2


def test_the_seed_decides_a_random_start_and_nothing_else():
    values = torch.randn(300, generator=torch.Generator().manual_seed(3))
    same = [cluster(values, 9, "random", seed=4, iterations=1)[0] for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], cluster(values, 9, "random", seed=5, iterations=1)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_centres_have_the_type_of_the_values(dtype):
    centres, codes = cluster(torch.randn(50, dtype=torch.float64).to(dtype), 4)
    assert centres.dtype == dtype
    assert codes.dtype == torch.int64


@pytest.mark.parametrize(
    "values, options, message",
    [
        (torch.zeros(2, 2), {}, r"shape \(N,\).*got torch.float32 of shape \(2, 2\)"),
        (torch.zeros(0), {}, r"N of 1 or more"),
        (torch.tensor([1, 2]), {}, "floating point.*int64"),
        (torch.tensor([1.0, float("nan")]), {}, "must be finite"),
        (torch.rand(4), {"clusters": 0}, "clusters must be 1 or more, got 0"),
        (torch.rand(4), {"initial": "kmeans++"}, "one of linear, density, random; got 'kmeans"),
    ],
)
def test_what_cannot_be_clustered_is_said(values, options, message):
    with pytest.raises(ValueError, match=message):
        cluster(values, **{"clusters": 2, **options})
