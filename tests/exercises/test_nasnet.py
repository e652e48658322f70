"""Answers to the chapter's exercises, right ones and those that readers really write."""

import math

import torch

from cnnlib.exercises.nasnet import (
    check_chance,
    check_choices,
    check_first_filters,
    check_generation,
    check_reinforce_step,
    check_spearman,
)
from cnnlib.papers import nasnet as printed


def choices(blocks, operations, combinations):
    ways = 1
    for block in range(blocks):
        ways *= (block + 2) ** 2 * operations**2 * combinations
    return ways


def reinforce_step(logits, choice, reward, baseline, lr):
    direction = -logits.softmax(0)
    direction[choice] += 1
    return logits + lr * (reward - baseline) * direction


def without_the_others(logits, choice, reward, baseline, lr):
    changed = logits.clone()
    changed[choice] += lr * (reward - baseline)
    return changed


def generation(population, sample):
    parent = sample[0]
    for place in sample:
        if population[place] > population[parent]:
            parent = place
    return parent, 0


def worst(population):
    return population.index(min(population))


def spearman(first, second):
    a, b = (values.argsort().argsort() for values in (first, second))
    n = len(first)
    return 1 - 6 * int(((a - b) ** 2).sum()) / (n * (n**2 - 1))


RIGHT = [
    (check_choices, choices),
    (check_first_filters, lambda penultimate, maps: penultimate // maps // 4),
    (check_reinforce_step, reinforce_step),
    (check_generation, generation),
    (check_chance, lambda share, tries: 1 - (1 - share) ** tries),
    (check_spearman, spearman),
]
WRONG = [
    (check_choices, lambda b, o, c: (4 * o**2 * c) ** b, "gives"),  # no new states
    (check_choices, lambda b, o, c: math.factorial(b + 1) * (o**2 * c) ** b, "gives"),  # one input
    (check_choices, lambda b, o, c: sum((s + 2) ** 2 * o**2 * c for s in range(b)), "gives"),
    (check_first_filters, lambda penultimate, maps: penultimate // 4, "gives"),
    (check_first_filters, lambda penultimate, maps: penultimate // maps, "gives"),
    (check_first_filters, lambda penultimate, maps: penultimate // maps // 2, "gives"),
    (check_reinforce_step, without_the_others, "numbers are not"),
    (check_reinforce_step, lambda z, c, r, b, lr: reinforce_step(z, c, r, 0, lr), "numbers"),
    (check_reinforce_step, lambda z, c, r, b, lr: reinforce_step(z, c, b, r, lr), "numbers"),
    (check_reinforce_step, lambda z, c, r, b, lr: reinforce_step(z, c, r, b, 1), "numbers"),
    (
        check_reinforce_step,
        lambda z, c, r, b, lr: reinforce_step(z, c, r, b, lr).softmax(0),
        "numbers",
    ),
    (check_generation, lambda p, s: (generation(p, s)[0], worst(p)), "gives"),
    (check_generation, lambda p, s: (p.index(max(p)), 0), "gives"),  # ignores the sample
    (check_generation, lambda p, s: (s[0], 0), "gives"),
    (check_generation, lambda p, s: (generation(p, s)[0], len(p) - 1), "gives"),
    (check_chance, lambda share, tries: share * tries, "gives"),
    (check_chance, lambda share, tries: (1 - share) ** tries, "gives"),
    (check_chance, lambda share, tries: share**tries, "gives"),
    (check_spearman, lambda a, b: float(torch.corrcoef(torch.stack([a, b]))[0, 1]), "gives"),
    (check_spearman, lambda a, b: -spearman(a, b), "gives"),
    (check_spearman, lambda a, b: float((a.argsort() == b.argsort()).double().mean()), "gives"),
]


def test_the_praise_names_the_count_of_the_paper():
    paper = choices(printed.BLOCKS, printed.OPERATIONS, printed.COMBINATIONS)
    assert f"{paper:.2e}" in check_choices(choices).message


def test_a_step_may_also_be_taken_by_autograd_in_any_dtype():
    def answer(logits, choice, reward, baseline, lr):
        leaf = logits.float().clone().requires_grad_()
        ((reward - baseline) * leaf.log_softmax(0)[choice]).backward()
        return logits + lr * leaf.grad

    assert check_reinforce_step(answer).right
