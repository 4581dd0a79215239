"""A text branch makes tokens of texts by the tokenizer that lies beside it, saved or not."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from fake_hub import COMMIT, FakeHub
from fusionkit_transformers.build import build_backbone
from test_loading import save

import fusionkit as fk

WORDS = ["[PAD]", "[UNK]", "a", "bee", "at", "work"]


def put_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "bert", "bert", "BertModel")
    put_tokenizer(tmp_path / "bert")
    return tmp_path / "bert"


def compose(folder: Path, **options: object) -> fk.FusedModel:
    text = fk.Branch(f"hf/local-dir:{folder}", input="caption", options=options)
    return fk.compose({"text": text}, head="concat", num_classes=2)


def ids(model: fk.FusedModel, text: str) -> list[int]:
    encode = model.branches["text"].encode
    assert encode is not None
    return list(pickle.loads(pickle.dumps(encode))(text)["input_ids"].tolist())


def test_texts_are_encoded_cut_off_and_filled_up(folder: Path, tmp_path: Path) -> None:
    from fusionkit.data import Normalise, PreparedDataset, collate, open_predict

    model = compose(folder).eval()
    assert ids(model, "a bee at work") == [2, 3, 4, 5]
    assert len(ids(model, "bee " * 30)) == 20
    table = tmp_path / "table.csv"
    table.write_text("id,caption\n1,a bee at work\n2,a bee\n")
    dataset = PreparedDataset(open_predict(table, ("caption",), texts=("caption",)), model)
    inputs = Normalise(model)(collate([dataset[0], dataset[1]]).inputs)
    assert inputs["text"]["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    with torch.no_grad():
        assert model(inputs).shape == (2, 2)


def test_a_saved_model_finds_its_tokenizer_again_or_says_so(folder: Path, tmp_path: Path) -> None:
    again = fk.load(fk.save(compose(folder), tmp_path / "saved"))
    assert ids(again, "a bee") == [2, 3]
    shutil.move(folder, tmp_path / "moved")
    from fusionkit_transformers import tokens

    tokens._read.cache_clear()
    moved = fk.load(tmp_path / "saved")
    with pytest.raises(
        fk.ConfigError, match=r"bert is not there .* options={'tokenizer': 'local-d"
    ):
        ids(moved, "a bee")


def test_a_model_without_a_tokenizer_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "bare", "bert", "BertModel")
    bare = compose(tmp_path / "bare")
    with pytest.raises(
        fk.ConfigError, match=r"has no tokenizer .* options={'tokenizer': 'owner/na"
    ):
        ids(bare, "a bee")
    assert ids(compose(tmp_path / "bare", tokenizer=f"local-dir:{folder}"), "a bee") == [2, 3]
    wrong = compose(folder, tokenizer=f"local-dir:{tmp_path}")
    with pytest.raises(fk.ConfigError, match=r"the tokenizer local-dir:.* cannot be read: "):
        ids(wrong, "a bee")


def test_images_have_no_tokenizer() -> None:
    with pytest.raises(fk.OptionError, match="hf/vit takes images; leave tokenizer out"):
        build_backbone("vit", tokenizer="owner/name")


def test_the_tokenizer_of_a_repository_is_that_of_the_same_commit(
    hub: FakeHub, tmp_path: Path
) -> None:
    put_tokenizer(hub.folder("owner/words"))
    save(hub.folder("owner/words"), "bert", "BertModel")
    text = fk.Branch("hf/owner/words", input="caption")
    model = fk.compose({"text": text}, head="concat", num_classes=2)
    assert not any("tokenizer" in request for request in hub.requests)  # until it is needed
    again = fk.load(fk.save(model, tmp_path / "saved"))
    assert ids(again, "a bee") == [2, 3]
    asked = [request for request in hub.requests if request.endswith("/tokenizer.json")]
    assert asked
    assert all(COMMIT in request for request in asked)
    hub.is_down = True
    from fusionkit_transformers import tokens

    tokens._read.cache_clear()
    assert ids(again, "at work") == [4, 5]


def test_a_repository_without_a_tokenizer_says_so(hub: FakeHub) -> None:
    save(hub.folder("owner/wordless"), "bert", "BertModel")
    text = fk.Branch("hf/owner/wordless", input="caption")
    model = fk.compose({"text": text}, head="concat", num_classes=2)
    with pytest.raises(fk.ConfigError, match=r"wordless@.* holds no tokenizer .*; give another as"):
        ids(model, "a bee")
