"""Objects, places, animals, colours, and nouns with their plurals."""

from assay.data.lexicon import table, words

OBJECTS = words(
    "objects",
    """
    book drink ring ball key letter gift pen box bag cup map card coin phone flower hat toy cake bottle
    camera basket ticket knife candle watch ladder pillow lamp mirror guitar kettle blanket shirt towel
    bell clock chair table desk door window shoe coat plate bowl spoon fork brush rope kite drum wheel bucket
    jar mug scarf glove belt dress jacket tie tent flag stick stone brick pipe needle broom bike boat sofa
    """,
)
VENUES = words(
    "venues",
    """
    store park office garden school station hospital restaurant library museum market beach house cafe church
    bank hotel theater farm gym bar club zoo lake river forest mall bakery studio stadium airport bridge
    """,
)
COLOURS = words(
    "colours",
    "red blue green yellow black white brown purple navy pink gray gold silver violet crimson tan turquoise copper",
)
NOUNS = table(
    "nouns with plurals",
    """
    key | keys
    author | authors
    cat | cats
    teacher | teachers
    car | cars
    dog | dogs
    doctor | doctors
    boy | boys
    girl | girls
    student | students
    picture | pictures
    farmer | farmers
    book | books
    table | tables
    lawyer | lawyers
    house | houses
    friend | friends
    tree | trees
    bird | birds
    worker | workers
    song | songs
    machine | machines
    player | players
    letter | letters
    river | rivers
    window | windows
    driver | drivers
    horse | horses
    actor | actors
    building | buildings
    parent | parents
    officer | officers
    train | trains
    nurse | nurses
    manager | managers
    king | kings
    chair | chairs
    rule | rules
    film | films
    guest | guests
    flower | flowers
    soldier | soldiers
    road | roads
    bridge | bridges
    writer | writers
    farm | farms
    plant | plants
    pilot | pilots
    singer | singers
    ship | ships
    island | islands
    neighbor | neighbors
    wall | walls
    garden | gardens
    artist | artists
    judge | judges
    city | cities
    baby | babies
    lady | ladies
    company | companies
    law | laws
    game | games
    story | stories
    door | doors
    """,
)
ANIMALS = words(
    "animals",
    """
    dog cat horse lion tiger bear wolf rabbit eagle shark whale snake frog cow pig sheep goat duck mouse monkey
    elephant fox deer owl chicken spider bee ant butterfly turtle dolphin penguin salmon camel donkey parrot
    """,
)
TOOLS = words(
    "tools and things",
    """
    hammer chair table knife spoon car phone lamp bottle book shirt door clock ladder bucket pencil guitar piano
    camera rope brick wheel mirror pillow blanket basket candle ticket drum kettle bicycle truck hat glove plate
    """,
)
EVENTS = words(
    "events",
    """
    war expedition journey project trial campaign siege festival reign program study strike voyage conflict
    marriage truce drought famine peace exhibition tour occupation partnership alliance ceremony debate
    """,
)
