"""Owns the word lists that every skill draws from."""


def several(text: str) -> list[str]:
    return text.split()


NAMES = several(
    "Sam Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olivia Paul "
    "Quinn Rosa Simon Tina Uma Victor Wendy Xavier Yara Zoe Adam Bella Carl Diana Eric Fiona "
    "George Hannah Ivan Julia Kevin Laura Max Nina Oscar Petra Ralph Sara Tom Ursula Vera Will "
    "Alice Bob Carol Dan Eve Frank Gina Hugo Ines Jonas Kim Liam Mia Nora Otto Pia Rita Stefan "
    "Theo Ada Alan Amir Aisha Boris Chen Dora Elena Fatima Goran Hiro Igor Jana Karim Lena Marco "
    "Nadia Omar Priya Ravi Sofia Tariq Vikram Wei Yuki Zara Lucas Ella Mason Ava Ethan James Lily "
    "John Mary Peter Susan Linda Robert Karen Mark Lucy Alex Chris Jordan Taylor Robin Casey"
)

COLOURS = several(
    "red blue green yellow orange purple pink brown black white grey silver gold turquoise "
    "violet crimson teal indigo maroon beige"
)

PETS = several(
    "dog cat rabbit parrot hamster turtle goldfish pony lizard snake ferret canary mouse duck "
    "goat hedgehog"
)

PET_NAMES = several(
    "Rex Bella Luna Milo Coco Max Daisy Rocky Biscuit Pepper Shadow Ginger Oreo Ruby Simba Nala "
    "Buddy Charlie Toby Misty Olive Peanut Waffles Ziggy Bruno Felix Honey Pixel Nugget Storm"
)

FOODS = several(
    "pizza pasta soup rice bread cheese salad sushi curry pancakes apples bananas cherries "
    "chocolate noodles tacos burgers dumplings ice-cream waffles"
)

JOBS = several(
    "teacher doctor nurse baker farmer pilot painter writer engineer lawyer dentist chef musician "
    "plumber carpenter gardener driver scientist librarian programmer"
)

HOBBIES = several(
    "swimming reading painting cycling dancing singing hiking fishing cooking running gardening "
    "chess skating climbing knitting sailing football tennis photography drawing"
)

FRUITS = several("apple banana cherry grape lemon mango orange peach pear plum")
ANIMALS = several("cat dog horse cow sheep lion tiger bear wolf fox")
VEGETABLES = several("carrot potato onion tomato cabbage spinach pepper pea bean corn")

COMMON = several(
    "table chair house water light night paper stone river cloud plant green bread smile heart "
    "music dream ocean beach grass horse mouse tiger zebra apple lemon grape peach mango melon "
    "train truck plane wheel clock watch phone radio laser robot pixel cache token model query "
    "batch queue stack graph world earth space comet orbit ship boat sail wind rain snow storm "
    "sun moon star sky fire wood leaf tree root seed rose lily bird duck frog fish bear wolf lion "
    "goat deer lamb cat dog cow pig hen ant bee bat owl fox book page word line note song drum "
    "bell horn harp piano violin guitar hat coat shoe sock belt shirt glove scarf ring crown king "
    "queen prince knight castle tower bridge road street garden park farm field forest desert "
    "island valley hill lake pond cave sand gold iron steel glass brick rope knife spoon fork "
    "plate bowl cup jar box bag key lock door wall roof floor room bed lamp desk sofa mirror "
    "window kitchen school market office hotel bank shop doctor nurse baker pilot artist writer "
    "friend mother father sister brother baby summer winter spring autumn morning evening hello "
    "yellow orange purple silver happy quiet brave clever gentle honest lucky polite simple strong "
    "coffee sugar honey butter cheese pepper carrot potato onion tomato pencil eraser ruler "
    "marble puzzle rocket planet galaxy magnet engine motor pump cable button screen mouse server "
    "python rust java code loop byte data file disk node port host link level stats live evil "
    "tap pat stop pots part trap bus gum map net pen pot red rat tip top van zip map mud nut"
)
SPELLING = several(
    "table chair house water light night paper stone river cloud plant green bread smile heart "
    "music dream ocean beach grass horse mouse tiger zebra apple lemon grape peach mango train "
    "truck plane wheel clock watch phone radio robot pixel cache token model query batch queue "
    "stack world earth space ship boat wind rain snow storm sun moon star fire wood leaf tree "
    "root rose bird duck frog fish bear wolf lion goat cat dog cow pig ant bee owl fox book page "
    "word line song drum bell hat coat shoe ring king queen garden farm forest island lake sand "
    "gold glass knife spoon plate cup box bag key door wall room bed lamp desk window kitchen "
    "school friend summer winter yellow orange happy hello coffee sugar honey butter cheese "
    "python code data file server stop level pot red map"
)

SORTABLE = several(
    "apple banana cherry date elder fig grape honey iris jam kiwi lemon mango nut olive peach "
    "quince rose sugar tea ant bear cat dog eagle fox goat horse iguana jaguar koala lion mouse "
    "newt owl pig quail rabbit snake tiger wolf zebra bike car door engine fence garden house "
    "island jar key lamp moon night ocean paper queen river stone tree water window yellow zoo"
)

SYLLABLES = several(
    "ba be bo da de do fa fi ga go ka ki ko la le li lo ma mi mo na ne no pa pe ra ri ro sa se "
    "sha ta te ti to va vi vo wa ya ye zo zu tar lin mor vel dor ran bel"
)
