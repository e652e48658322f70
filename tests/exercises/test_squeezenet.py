"""Right answers of chapter 10 and the wrong ones that readers really write."""

import heapq
import math

import torch

from cnnlib.exercises.squeezenet import (
    check_code_bits,
    check_fire,
    check_fire_parameters,
    check_gaps,
    check_rate,
)


def fire(maps, squeeze, expand1x1, expand3x3):
    squeezed = squeeze(maps)
    return torch.cat((expand1x1(squeezed), expand3x3(squeezed)), 1)


def chain(maps, squeeze, expand1x1, expand3x3):
    squeezed = squeeze(maps)
    return torch.cat((expand1x1(squeezed), expand3x3(expand1x1(squeezed))), 1)


def parameters(channels, s1x1, e1x1, e3x3):
    return (channels + 1) * s1x1 + (s1x1 + 1) * e1x1 + (9 * s1x1 + 1) * e3x3


def rate(weights, shared, bits):
    return weights * bits / (weights * math.log2(shared) + shared * bits)


def gaps(positions, bits):
    found, before = [], -1
    for position in positions:
        gap = position - before - 1
        while gap >= 2**bits:
            found.append(2**bits - 1)
            gap -= 2**bits
        found.append(gap)
        before = position
    return found


def gaps_without_the_filler_itself(positions, bits):
    found, before = [], -1
    for position in positions:
        gap = position - before - 1
        while gap > 2**bits - 1:
            found.append(2**bits - 1)
            gap -= 2**bits - 1
        found.append(gap)
        before = position
    return found


def distances(positions, bits):
    return [b - a for a, b in zip([0, *positions], positions, strict=False)]


def code_bits(counts):
    heapq.heapify(counts)
    bits = 0
    while len(counts) > 1:
        both = heapq.heappop(counts) + heapq.heappop(counts)
        heapq.heappush(counts, both)
        bits += both
    return bits


RIGHT = [
    (check_fire, fire),
    (check_fire_parameters, parameters),
    (check_rate, rate),
    (check_gaps, gaps),
    (check_code_bits, code_bits),
]
WRONG = [
    (check_fire, lambda m, s, e1, e3: torch.cat((e1(m), e3(m)), 1), "numbers are not"),
    (check_fire, lambda m, s, e1, e3: torch.cat((e3(s(m)), e1(s(m))), 1), "numbers are not"),
    (check_fire, lambda m, s, e1, e3: torch.cat((e1(s(m)), e3(s(m))), 0), "it stopped"),
    (check_fire, lambda m, s, e1, e3: torch.cat((s(m), e1(s(m)), e3(s(m))), 1), "the shape is"),
    (check_fire, chain, "it stopped"),
    (check_fire_parameters, lambda c, s, e1, e3: c * s + s * e1 + 9 * s * e3, "gives"),
    (check_fire_parameters, lambda c, s, e1, e3: (c + 1) * (s + e1 + 9 * e3), "gives"),
    (
        check_fire_parameters,
        lambda c, s, e1, e3: (c + 1) * s + (s + 1) * (e1 + 9 * e3),
        "gives",
    ),
    (check_rate, lambda n, k, b: b / math.log2(k), "are not"),
    (check_rate, lambda n, k, b: n * b / (n * math.log2(k) + k), "are not"),
    (check_rate, lambda n, k, b: (n * math.log2(k) + k * b) / (n * b), "are not"),
    (check_rate, lambda n, k, b: n * b / (n * k + k * b), "are not"),
    (check_gaps, gaps_without_the_filler_itself, "gives"),
    (check_gaps, distances, "gives"),
    (check_gaps, lambda positions, bits: positions, "gives"),
    (check_code_bits, lambda counts: sum(counts) * math.ceil(math.log2(len(counts))), "gives"),
    (
        check_code_bits,
        lambda c: round(sum(n * math.log2(sum(c) / n) for n in c)),
        "gives",
    ),
]
