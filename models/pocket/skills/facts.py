"""Owns capitals and a short list of simple facts."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, phrase

_PAIRS = (
    "France=Paris;Germany=Berlin;Italy=Rome;Spain=Madrid;Portugal=Lisbon;Austria=Vienna;"
    "Switzerland=Bern;Belgium=Brussels;the Netherlands=Amsterdam;Denmark=Copenhagen;"
    "Norway=Oslo;Sweden=Stockholm;Finland=Helsinki;Iceland=Reykjavik;Ireland=Dublin;"
    "Poland=Warsaw;Hungary=Budapest;Greece=Athens;Turkey=Ankara;Russia=Moscow;Ukraine=Kyiv;"
    "Romania=Bucharest;Bulgaria=Sofia;Croatia=Zagreb;Serbia=Belgrade;Slovenia=Ljubljana;"
    "Slovakia=Bratislava;Estonia=Tallinn;Latvia=Riga;Lithuania=Vilnius;Japan=Tokyo;"
    "China=Beijing;India=New Delhi;South Korea=Seoul;Thailand=Bangkok;Vietnam=Hanoi;"
    "Indonesia=Jakarta;Egypt=Cairo;Kenya=Nairobi;Morocco=Rabat;Nigeria=Abuja;Ghana=Accra;"
    "Ethiopia=Addis Ababa;Canada=Ottawa;Mexico=Mexico City;Cuba=Havana;Brazil=Brasilia;"
    "Argentina=Buenos Aires;Chile=Santiago;Peru=Lima;Colombia=Bogota;Australia=Canberra;"
    "New Zealand=Wellington;Iran=Tehran;Iraq=Baghdad;Israel=Jerusalem;Jordan=Amman;"
    "Pakistan=Islamabad;Nepal=Kathmandu;England=London"
)
CAPITALS: dict[str, str] = dict(pair.split("=") for pair in _PAIRS.split(";"))

_CAPITAL = (
    "What is the capital of {v}?", "Capital of {v}?", "What's the capital of {v}?",
    "Tell me the capital of {v}.", "Which city is the capital of {v}?", "{v}'s capital?",
    "Name the capital of {v}.", "Do you know the capital of {v}?", "the capital of {v} is",
)  # fmt: skip
_COUNTRY = (
    "{v} is the capital of which country?", "Which country has the capital {v}?",
    "What country is {v} the capital of?", "In which country is {v} the capital?",
)  # fmt: skip

# Facts of one shape share their wordings, so that a wording learnt on one serves all of them.
_SHAPES: tuple[tuple[str, str, str], ...] = (
    ("What colour is {k}?|Which color is {k}?|What color does {k} have?|The colour of {k}?|"
     "Which colour does {k} have?|What is the color of {k}?|Tell me the colour of {k}.",
     "{k} is {v}.",
     "the sky=blue;grass=green;snow=white;a banana=yellow;a tomato=red;coal=black;an orange=orange;"
     "blood=red;milk=white;a lemon=yellow;chocolate=brown"),
    ("How many legs does {k} have?|Number of legs of {k}?|How many legs has {k}?|"
     "How many legs are on {k}?|Count the legs of {k}.|Tell me how many legs {k} has.",
     "{k} has {v} legs.",
     "a spider=8;an insect=6;a dog=4;a bird=2;a cat=4;a horse=4;an ant=6;a chicken=2;a bee=6"),
    ("How many {k}?|Number of {k}?|Tell me how many {k}.|Do you know how many {k}?",
     "There are {v} {k}.",
     "days in a week=7;months in a year=12;days in a year=365;hours in a day=24;"
     "minutes in an hour=60;seconds in a minute=60;weeks in a year=52;years in a century=100;"
     "sides in a triangle=3;sides in a square=4;planets in the solar system=8;bits in a byte=8;"
     "letters in the alphabet=26;continents on Earth=7;wheels on a car=4;wheels on a bicycle=2;"
     "fingers on a hand=5;players in a football team=11"),
    ("What is the opposite of {k}?|Opposite of {k}?|Tell me the opposite of {k}.|"
     "Name the opposite of {k}.|Which word is the opposite of {k}?|{k} is the opposite of what?",
     "The opposite of {k} is {v}.",
     "hot=cold;cold=hot;big=small;small=big;up=down;down=up;day=night;night=day;fast=slow;"
     "slow=fast;open=closed;closed=open;happy=sad;sad=happy;light=dark;dark=light;left=right;"
     "right=left;old=young;young=old;full=empty;empty=full;wet=dry;dry=wet;early=late;late=early"),
    ("What does {k} say?|What sound does {k} make?|Which sound does {k} make?|"
     "What noise does {k} make?|How does {k} sound?|The sound of {k}?",
     "{k} says {v}.",
     "a cat=meow;a dog=woof;a cow=moo;a duck=quack;a sheep=baa;a pig=oink;a lion=roar;an owl=hoot"),
    ("What is {k}?|Name {k}.|Tell me {k}.|Do you know {k}?|What's {k}?|{k}?",
     "{v} is {k}.",
     "the largest planet=Jupiter;the smallest planet=Mercury;the closest planet to the sun=Mercury;"
     "the planet we live on=Earth;the red planet=Mars;the planet with rings=Saturn;"
     "the largest ocean=The Pacific;the highest mountain=Mount Everest;the longest river=The Nile;"
     "the largest animal=The blue whale;the fastest land animal=The cheetah;"
     "the tallest animal=The giraffe;the largest country=Russia;the largest desert=Antarctica;"
     "the first letter of the alphabet=A;the last letter of the alphabet=Z;"
     "the closest star=The sun;the formula of water=H2O;the freezing point of water=0 degrees;"
     "the boiling point of water=100 degrees;the author of Hamlet=Shakespeare;"
     "the author of Romeo and Juliet=Shakespeare"),
    ("Where does {k} live?|Where do I find {k}?|What is the home of {k}?|Where is {k} at home?|"
     "Tell me where {k} lives.",
     "{k} lives in {v}.",
     "a fish=water;a camel=the desert;a penguin=the Antarctic;a bee=a hive;a bird=a nest;"
     "a monkey=the forest;a whale=the ocean"),
    ("What does {k} make?|What do we get from {k}?|What is made by {k}?|What comes from {k}?|"
     "What does {k} give us?",
     "{k} gives us {v}.",
     "a bee=honey;a cow=milk;a hen=eggs;a baker=bread;a sheep=wool;a writer=books"),
)  # fmt: skip


def _facts() -> list[tuple[list[str], str]]:
    """Every fact as its wordings and its answer."""
    made = []
    for wordings, answer, pairs in _SHAPES:
        for pair in pairs.split(";"):
            k, v = pair.split("=")
            asks = [wording.format(k=k) for wording in wordings.split("|")]
            said = answer.format(k=k, v=v)
            made.append((asks, said[0].upper() + said[1:]))
    return made


_FACTS = _facts()


def capital(rng: Random) -> Exchange:
    country, city = rng.choice(list(CAPITALS.items()))
    templates, value = (_COUNTRY, city) if rng.random() < 0.2 else (_CAPITAL, country)
    user = phrase(rng, templates, v=value)
    answer = f"{city} is the capital of {country}."
    return Exchange("capitals", user, answer, code=f'capitals["{country}"] = "{city}"')


def fact(rng: Random) -> Exchange:
    questions, answer = rng.choice(_FACTS)
    user = phrase(rng, questions)
    return Exchange("simple facts", user, answer)
