"""Dictionaries that are made by hand, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.dictionaries import About, Dictionary
from assay.engine.dictionary import FeatureBasis


def of_rows(rows: Tensor, *, site: str, bias: float = 0.0, skip: int = 1, measured: bool = True) -> Dictionary:
    """Features that read what they write, above a bias."""
    d = rows.shape[1]
    basis = FeatureBasis(rows.T.contiguous(), torch.full((len(rows),), bias), rows, torch.zeros(d), "relu")
    about = About(site=site, skip=skip, active=float(d))
    known = {"mean": torch.zeros(d), "principal": torch.eye(d), "frequency": torch.ones(len(rows))}
    return Dictionary(basis, about, known if measured else {})


def identity(d: int, *, site: str, skip: int = 1) -> Dictionary:
    """Each entry's positive and negative part is a feature: nothing is lost."""
    return of_rows(torch.cat([torch.eye(d), -torch.eye(d)]), site=site, skip=skip)


def nothing(d: int, *, site: str, skip: int = 1) -> Dictionary:
    """Features that write nothing."""
    return of_rows(torch.zeros(4, d), site=site, skip=skip)
