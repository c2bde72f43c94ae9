"""Tables of plain facts: countries, cities, landmarks; words and their opposites, plurals, past tenses."""

from assay.data.lexicon import table

COUNTRIES = table(
    "countries and their capitals",
    """
    France | Paris
    Japan | Tokyo
    Germany | Berlin
    Italy | Rome
    Spain | Madrid
    Russia | Moscow
    England | London
    Egypt | Cairo
    China | Beijing
    Greece | Athens
    Austria | Vienna
    Poland | Warsaw
    Portugal | Lisbon
    Ireland | Dublin
    Sweden | Stockholm
    Norway | Oslo
    Denmark | Copenhagen
    Finland | Helsinki
    Hungary | Budapest
    Turkey | Ankara
    Belgium | Brussels
    Canada | Ottawa
    Cuba | Havana
    Peru | Lima
    Iraq | Baghdad
    Iran | Tehran
    Syria | Damascus
    Kenya | Nairobi
    Thailand | Bangkok
    Ukraine | Kiev
    Cambodia | Phnom Penh
    Vietnam | Hanoi
    India | Delhi
    Afghanistan | Kabul
    Chile | Santiago
    Bulgaria | Sofia
    Romania | Bucharest
    Serbia | Belgrade
    Lebanon | Beirut
    Scotland | Edinburgh
    Wales | Cardiff
    Indonesia | Jakarta
    Colombia | Bogota
    Venezuela | Caracas
    Jamaica | Kingston
    Israel | Jerusalem
    Pakistan | Islamabad
    Croatia | Zagreb
    Australia | Canberra
    Morocco | Rabat
    Libya | Tripoli
    Tunisia | Tunis
    Algeria | Algiers
    Switzerland | Bern
    Iceland | Reykjavik
    Latvia | Riga
    Qatar | Doha
    Nepal | Kathmandu
    Senegal | Dakar
    Ghana | Accra
    Nigeria | Abuja
    Taiwan | Taipei
    Korea | Seoul
    """,
)
LANGUAGES = table(
    "countries and their main language",
    """
    France | French
    Japan | Japanese
    Germany | German
    Italy | Italian
    Spain | Spanish
    Russia | Russian
    England | English
    China | Chinese
    Greece | Greek
    Poland | Polish
    Portugal | Portuguese
    Sweden | Swedish
    Norway | Norwegian
    Denmark | Danish
    Finland | Finnish
    Hungary | Hungarian
    Turkey | Turkish
    Iran | Persian
    Egypt | Arabic
    India | Hindi
    Thailand | Thai
    Ukraine | Ukrainian
    Vietnam | Vietnamese
    Korea | Korean
    Israel | Hebrew
    Pakistan | Urdu
    Romania | Romanian
    Bulgaria | Bulgarian
    Serbia | Serbian
    Cambodia | Khmer
    Kenya | Swahili
    Indonesia | Indonesian
    """,
)
CITIES = table(
    "countries with cities",
    """
    France | Paris, Lyon, Marseille, Nice, Bordeaux
    Japan | Tokyo, Kyoto, Nagoya, Hiroshima, Nagasaki
    Germany | Berlin, Munich, Hamburg, Frankfurt, Dresden, Cologne
    Italy | Rome, Milan, Venice, Naples, Florence, Turin, Genoa
    Spain | Madrid, Barcelona, Valencia, Granada
    Russia | Moscow, Leningrad, Petersburg
    Canada | Toronto, Vancouver, Montreal, Ottawa, Quebec
    China | Beijing, Shanghai, Nanjing, Canton
    Australia | Sydney, Melbourne, Brisbane, Perth, Adelaide
    India | Delhi, Mumbai, Calcutta, Bombay, Madras, Bangalore
    England | London, Manchester, Liverpool, Birmingham, Bristol, Leeds, Oxford
    Egypt | Cairo, Alexandria
    Poland | Warsaw, Gdansk
    Turkey | Istanbul, Ankara
    Switzerland | Geneva, Zurich, Basel, Bern
    Scotland | Edinburgh, Glasgow, Aberdeen
    Greece | Athens, Sparta, Corinth
    Austria | Vienna, Salzburg, Graz
    Belgium | Brussels, Antwerp, Ghent
    Ireland | Dublin, Cork, Limerick
    Sweden | Stockholm, Uppsala
    Portugal | Lisbon, Porto
    Iraq | Baghdad, Mosul
    Hungary | Budapest
    Iran | Tehran, Isfahan
    Denmark | Copenhagen
    Cuba | Havana
    Kenya | Nairobi
    Syria | Damascus, Aleppo
    Peru | Lima
    Norway | Oslo, Bergen
    Finland | Helsinki
    """,
)
LANDMARKS = table(
    "cities with landmarks",
    """
    Paris | Eiffel Tower, Louvre, Notre Dame Cathedral, Arc de Triomphe, Moulin Rouge
    London | Big Ben, Buckingham Palace, Tower Bridge, Westminster Abbey, Hyde Park, British Museum
    Rome | Colosseum, Trevi Fountain, Spanish Steps, Roman Forum, Pantheon, Sistine Chapel
    Berlin | Brandenburg Gate, Reichstag, Checkpoint Charlie, Museum Island
    Moscow | Kremlin, Red Square, Bolshoi Theatre, Lenin Mausoleum, Gorky Park
    Athens | Parthenon, Acropolis, Temple of Zeus, Agora
    Beijing | Forbidden City, Temple of Heaven, Summer Palace, Tiananmen Square
    Sydney | Opera House, Harbour Bridge, Bondi Beach, Taronga Zoo
    Washington | White House, Lincoln Memorial, Capitol Building, Pentagon
    Istanbul | Blue Mosque, Hagia Sophia, Grand Bazaar, Topkapi Palace
    Chicago | Willis Tower, Wrigley Field, Millennium Park, Navy Pier, Sears Tower
    Tokyo | Skytree, Shibuya Crossing, Imperial Palace, Tsukiji Market
    Madrid | Prado Museum, Royal Palace, Plaza Mayor, Retiro Park
    Boston | Fenway Park, Freedom Trail, Faneuil Hall, Bunker Hill
    Vienna | Schönbrunn Palace, Hofburg, Belvedere Palace
    Cairo | Pyramids of Giza, Egyptian Museum, Great Sphinx
    """,
)
OPPOSITES = table(
    "opposites",
    """
    hot | cold
    big | small
    up | down
    left | right
    good | bad
    day | night
    old | new
    fast | slow
    high | low
    open | closed
    light | dark
    happy | sad
    rich | poor
    strong | weak
    early | late
    long | short
    full | empty
    hard | soft
    first | last
    inside | outside
    wet | dry
    true | false
    win | lose
    black | white
    war | peace
    love | hate
    life | death
    male | female
    north | south
    east | west
    clean | dirty
    safe | dangerous
    easy | difficult
    front | back
    top | bottom
    buy | sell
    push | pull
    begin | end
    friend | enemy
    question | answer
    loud | quiet
    thick | thin
    wide | narrow
    deep | shallow
    public | private
    major | minor
    positive | negative
    maximum | minimum
    increase | decrease
    heaven | hell
    success | failure
    before | after
    above | below
    always | never
    more | less
    accept | reject
    ancient | modern
    simple | complex
    internal | external
    husband | wife
    brother | sister
    king | queen
    summer | winter
    sharp | dull
    """,
)
VERBS = table(
    "verbs with past tenses",
    """
    go | went
    see | saw
    take | took
    make | made
    come | came
    give | gave
    find | found
    think | thought
    tell | told
    become | became
    leave | left
    feel | felt
    bring | brought
    begin | began
    keep | kept
    hold | held
    write | wrote
    stand | stood
    hear | heard
    mean | meant
    meet | met
    run | ran
    pay | paid
    sit | sat
    speak | spoke
    lead | led
    grow | grew
    lose | lost
    fall | fell
    send | sent
    build | built
    understand | understood
    draw | drew
    break | broke
    spend | spent
    rise | rose
    drive | drove
    buy | bought
    wear | wore
    choose | chose
    eat | ate
    fly | flew
    sing | sang
    win | won
    teach | taught
    catch | caught
    sell | sold
    fight | fought
    throw | threw
    sleep | slept
    """,
)
