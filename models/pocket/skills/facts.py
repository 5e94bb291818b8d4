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

_FACTS: tuple[tuple[str, str], ...] = (
    ("What colour is the sky?|Which color does the sky have?|What color is the sky",
     "The sky is blue."),
    ("What colour is grass?|Which color is grass?|What color does grass have?", "Grass is green."),
    ("What colour is snow?|Which color is snow?", "Snow is white."),
    ("What colour is a banana?|Which color does a banana have?", "A ripe banana is yellow."),
    ("How many legs does a spider have?|Number of legs of a spider?|How many legs has a spider?",
     "A spider has 8 legs."),
    ("How many legs does an insect have?|Number of legs of an insect?", "An insect has 6 legs."),
    ("How many legs does a dog have?|Number of legs of a dog?", "A dog has 4 legs."),
    ("How many legs does a bird have?|Number of legs of a bird?", "A bird has 2 legs."),
    ("How many days are in a week?|How many days does a week have?", "A week has 7 days."),
    ("How many months are in a year?|How many months does a year have?", "A year has 12 months."),
    ("How many days are in a year?|How many days does a year have?", "A year has 365 days."),
    ("How many hours are in a day?|How many hours does a day have?", "A day has 24 hours."),
    ("How many minutes are in an hour?|How many minutes does an hour have?",
     "An hour has 60 minutes."),
    ("How many seconds are in a minute?|How many seconds does a minute have?",
     "A minute has 60 seconds."),
    ("How many sides does a triangle have?|Number of sides of a triangle?",
     "A triangle has 3 sides."),
    ("How many sides does a square have?|Number of sides of a square?", "A square has 4 sides."),
    ("How many planets are in the solar system?|Number of planets?",
     "The solar system has 8 planets."),
    ("What is the largest planet?|Which planet is the biggest?|Name the largest planet.",
     "Jupiter is the largest planet."),
    ("Which planet is closest to the sun?|What is the closest planet to the sun?",
     "Mercury is closest to the sun."),
    ("Which planet do we live on?|What planet is our home?", "We live on Earth."),
    ("Which planet is called the red planet?|What is the red planet?",
     "Mars is called the red planet."),
    ("What is H2O?|What does H2O mean?|What is the formula H2O?", "H2O is water."),
    ("At what temperature does water boil?|When does water boil?|What is the boiling point of "
     "water?", "Water boils at 100 degrees Celsius."),
    ("At what temperature does water freeze?|When does water freeze?|What is the freezing point "
     "of water?", "Water freezes at 0 degrees Celsius."),
    ("What do bees make?|What is made by bees?", "Bees make honey."),
    ("What do cows drink?|What does a cow drink?", "Cows drink water."),
    ("Where do fish live?|Where does a fish live?", "Fish live in water."),
    ("What is the largest ocean?|Which ocean is the biggest?",
     "The Pacific is the largest ocean."),
    ("What is the highest mountain?|Which mountain is the tallest?",
     "Mount Everest is the highest mountain."),
    ("What is the largest animal?|Which animal is the biggest?",
     "The blue whale is the largest animal."),
    ("What is the fastest land animal?|Which land animal is the fastest?",
     "The cheetah is the fastest land animal."),
    ("What is the opposite of hot?|Opposite of hot?", "The opposite of hot is cold."),
    ("What is the opposite of big?|Opposite of big?", "The opposite of big is small."),
    ("What is the opposite of up?|Opposite of up?", "The opposite of up is down."),
    ("What is the opposite of day?|Opposite of day?", "The opposite of day is night."),
    ("What is the opposite of fast?|Opposite of fast?", "The opposite of fast is slow."),
    ("What is the opposite of open?|Opposite of open?", "The opposite of open is closed."),
    ("What is the opposite of happy?|Opposite of happy?", "The opposite of happy is sad."),
    ("What does a cat say?|What sound does a cat make?", "A cat says meow."),
    ("What does a dog say?|What sound does a dog make?", "A dog says woof."),
    ("What does a cow say?|What sound does a cow make?", "A cow says moo."),
    ("What does a duck say?|What sound does a duck make?", "A duck says quack."),
    ("How many letters are in the alphabet?|How many letters does the alphabet have?",
     "The alphabet has 26 letters."),
    ("What is the first letter of the alphabet?|First letter of the alphabet?",
     "The first letter of the alphabet is A."),
    ("What is the last letter of the alphabet?|Last letter of the alphabet?",
     "The last letter of the alphabet is Z."),
    ("Who wrote Romeo and Juliet?|Who wrote Hamlet?", "William Shakespeare wrote it."),
    ("What do plants need to grow?|What does a plant need?",
     "Plants need water, light and air."),
    ("What is the sun?|What kind of thing is the sun?", "The sun is a star."),
    ("What is the moon?|What kind of thing is the moon?", "The moon is a satellite of the Earth."),
    ("How many bits are in a byte?|How many bits does a byte have?", "A byte has 8 bits."),
    ("What are the primary colours?|Name the primary colors.",
     "The primary colours are red, yellow and blue."),
    ("How many continents are there?|Number of continents?", "There are 7 continents."),
)  # fmt: skip


def capital(rng: Random) -> Exchange:
    country, city = rng.choice(list(CAPITALS.items()))
    templates, value = (_COUNTRY, city) if rng.random() < 0.2 else (_CAPITAL, country)
    user = phrase(rng, templates, v=value)
    answer = f"{city} is the capital of {country}."
    return Exchange("capitals", user, answer, code=f'capitals["{country}"] = "{city}"')


def fact(rng: Random) -> Exchange:
    questions, answer = rng.choice(_FACTS)
    user = phrase(rng, questions.split("|"))
    return Exchange("simple facts", user, answer)
