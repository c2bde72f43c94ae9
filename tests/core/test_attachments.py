"""Tensors inside data: identity by content, references in JSON, damage noticed."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from assay.core.attachments import Attachment, attachments_in, pack, tensor_hash, unpack
from assay.core.errors import AssayError, ExperimentError, StorageError


class Holder(BaseModel):
    model_config = ConfigDict(frozen=True)
    vector: Attachment
    more: dict[str, tuple[Attachment, ...]] = {}


def through_json(model: Holder) -> Holder:
    tensors = unpack(pack(attachments_in(model)), what="a.safetensors")
    return Holder.model_validate_json(model.model_dump_json(), context={"attachments": tensors})


VALUES: list[Any] = [
    torch.randn(3),
    torch.tensor(3.5),
    torch.zeros(0, 3),
    torch.randn(2, 3).bfloat16(),
    torch.randn(4).half(),
    torch.tensor([True, False]),
    torch.randn(3, 4).t(),
    torch.randn(5).to(torch.float8_e4m3fn),
    torch.tensor([float("inf")]),
    np.zeros((2, 3))[:, ::-1],
    np.float32(2.0),
    [[1.0, 2.0]],
    3,
    0.5,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_round_trip_through_json_and_safetensors(value: Any) -> None:
    model = Holder(vector=value, more={"x": (value, 1.0)})
    back = through_json(model)
    assert back == model
    assert torch.equal(back.vector.tensor.float(), model.vector.tensor.float())
    assert back.vector.dtype == model.vector.dtype


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=8))
def test_hash_is_of_the_content_alone(numbers: list[float]) -> None:
    one = Attachment.of(torch.tensor(numbers, dtype=torch.float32))
    two = Attachment.of(np.array(numbers, dtype=np.float32))
    strided = Attachment.of(torch.tensor([numbers, numbers], dtype=torch.float32).t()[:, 0])
    assert one == two == strided
    assert len({one, two, strided}) == 1


def test_hash_tells_shape_dtype_and_sign_apart() -> None:
    zeros = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(6),
        torch.zeros(6, dtype=torch.int32),
        -torch.zeros(6),
        torch.zeros(6, dtype=torch.bool),
    ]
    assert len({tensor_hash(tensor) for tensor in zeros}) == len(zeros)


def test_a_list_of_numbers_is_float32() -> None:
    assert Attachment.of([1.0, 2.0]).reference["dtype"] == "float32"
    assert Attachment.of([1.0]).reference["shape"] == [1]


def test_later_changes_to_the_source_do_not_reach_in() -> None:
    source, array = torch.zeros(2), np.zeros(2)
    held, held_array = Attachment.of(source), Attachment.of(array)
    source += 1
    array += 1
    assert held.tensor.tolist() == held_array.tensor.tolist() == [0.0, 0.0]
    assert tensor_hash(held.tensor) == held.hash


def test_gradient_state_is_left_behind() -> None:
    assert not Attachment.of(torch.ones(2, requires_grad=True) * 2).tensor.requires_grad


def test_nan_is_refused_with_the_first_place() -> None:
    tensor = torch.zeros(2, 3)
    tensor[1, 1] = tensor[1, 2] = float("nan")
    with pytest.raises(ExperimentError) as caught:
        Holder(vector=tensor)
    assert str(caught.value) == (
        "NaN in a tensor of shape [2, 3]: 2 of 6 values, the first at [1, 1]. "
        "Give finite numbers; look at how this tensor was computed."
    )


@pytest.mark.parametrize(
    "value", ["x", None, [[1.0], [1.0, 2.0]], torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse(), [1j]]
)
def test_what_is_not_a_dense_real_tensor_is_refused(value: Any) -> None:
    with pytest.raises(ExperimentError):
        Attachment.of(value)


def test_equal_tensors_are_stored_once() -> None:
    model = Holder(vector=[1.0], more={"x": (torch.tensor([1.0]), [2.0])})
    assert len(attachments_in(model)) == 2


def test_a_missing_tensor_is_named() -> None:
    text = Holder(vector=[1.0]).model_dump_json()
    with pytest.raises(StorageError, match=r"the tensor sha256:\w{64} is not among the 0 attached"):
        Holder.model_validate_json(text)


def test_a_changed_tensor_is_noticed() -> None:
    model = Holder(vector=[1.0, 2.0])
    tensors = {model.vector.hash: torch.tensor([1.0, 2.5])}
    with pytest.raises(StorageError, match="is damaged: the file holds float32"):
        Holder.model_validate_json(model.model_dump_json(), context={"attachments": tensors})


@given(st.data())
def test_any_flipped_byte_or_cut_is_noticed(data: st.DataObject) -> None:
    model = Holder(vector=[1.0, 2.0], more={"x": ([3.0],)})
    content = bytearray(pack(attachments_in(model)))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    try:
        tensors = unpack(bytes(content), what="a.safetensors")
        back = Holder.model_validate_json(model.model_dump_json(), context={"attachments": tensors})
    except AssayError:
        return
    assert back == model  # a flip in the header's padding changes nothing


def test_a_reference_with_other_keys_is_refused() -> None:
    with pytest.raises(StorageError, match=r"written with the keys tensor, dtype and shape; this one has \['tensor'\]"):
        Holder.model_validate({"vector": {"tensor": "sha256:0"}})
