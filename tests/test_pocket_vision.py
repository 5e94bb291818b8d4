"""What pocket-vision is trained on, and that its network learns from it."""

from random import Random

import torch

from models.pocket_vision import batches, network
from models.pocket_vision.drawing import COLORS, SHAPES
from models.pocket_vision.evaluate import SKILLS, cases
from models.pocket_vision.scenes import PLACES, Scene, Thing, draw_things, scene


def pixels(made: Scene) -> list[bytes]:
    return [picture.tobytes() for picture in made.pictures]


def test_the_same_seed_draws_the_same_pictures_and_questions() -> None:
    one, other = (scene(Random(7), held_out=False) for _ in range(2))
    assert pixels(one) == pixels(other)
    assert one.questions == other.questions
    assert pixels(scene(Random(8), held_out=False)) != pixels(one)


def test_training_draws_no_scene_that_is_asked_about_in_the_evaluation() -> None:
    rng = Random(1)
    trained = {key for _ in range(300) for key in scene(rng, held_out=False).keys}
    asked = [made for made, _ in cases(seed=1, each=10)]
    assert all(not trained.issuperset(made.keys) for made in asked)


def test_each_skill_is_asked_for_equally_often() -> None:
    skills = [question.skill for _, question in cases(seed=2, each=3)]
    assert {skill: skills.count(skill) for skill in SKILLS} == dict.fromkeys(SKILLS, 3)


def test_a_thing_is_drawn_in_its_colour_and_in_its_part_of_the_picture() -> None:
    rng = Random(3)
    for place in range(len(PLACES)):
        for color in COLORS:
            thing = Thing(color, rng.choice(SHAPES), place)
            # The second one keeps a single thing in the middle from being drawn large.
            other = Thing("black" if color != "black" else "red", "circle", (place + 4) % 9)
            picture = draw_things(rng, [thing, other])
            width, height = picture.width / 3, picture.height / 3
            left, top = place % 3 * width, place // 3 * height
            field = picture.crop((int(left), int(top), int(left + width), int(top + height)))
            counts = {found: number for number, found in field.getcolors(1 << 16) or []}
            near = sum(n for found, n in counts.items() if is_near(found, COLORS[color]))
            assert near > 0.05 * field.width * field.height, thing


def is_near(found: tuple[int, ...] | float, color: tuple[int, int, int]) -> bool:
    assert isinstance(found, tuple)
    return all(abs(a - b) <= 18 for a, b in zip(found, color, strict=True))


def test_a_document_has_a_placeholder_for_each_token_of_its_pictures() -> None:
    rng = Random(4)
    for _ in range(10):
        made = scene(rng, held_out=False)
        document = batches.document(batches.conversation(rng, made), made)
        num_tokens = int((document.grids.prod(dim=1) // network.MERGE**2).sum())
        assert document.tokens.count(network.IMAGE_PAD) == num_tokens
        assert len(document.grids) == len(made.pictures)
        said = [t for t, learnt in zip(document.tokens, document.learnt, strict=True) if learnt]
        assert network.IMAGE_PAD not in said


def test_the_network_learns_from_a_batch() -> None:
    torch.manual_seed(0)
    rng = Random(5)
    made = [scene(rng, held_out=False) for _ in range(2)]
    batch = batches.collated([batches.document(batches.conversation(rng, s), s) for s in made])
    model = network.new_model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss = network.answer_loss(model, batch)
        loss.backward()
        assert model.model.visual.patch_embed.proj.weight.grad is not None
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
