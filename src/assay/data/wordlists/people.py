"""First names, by the pronoun that English usually gives them, and roles."""

from assay.data.lexicon import words

WOMEN = words(
    "women's names",
    """
    Mary Anna Emma Sarah Alice Jane Lisa Laura Kate Julia Susan Linda Karen Nancy Helen Sandra Emily Maria Rachel Amy
    Angela Rebecca Elizabeth Jennifer Jessica Michelle Amanda Melissa Lucy Diana Grace Sophie Olivia Charlotte Margaret
    Barbara Patricia Catherine Christine Victoria Caroline Claire Hannah Molly Ruth Martha Rose Eva Clara Ellen Julie
    Kathy Diane Anne Ann Carol Betty Sally Lily Chloe Zoe Nina Vera Sophia Isabella Samantha Natalie Heather Tina Wendy
    Jill Lauren Megan Nicole Stephanie Andrea Cindy Donna Katherine Teresa Beth Monica Elena Carmen Rita Sara Ella
    """,
)
MEN = words(
    "men's names",
    """
    John Tom James Robert David Michael Paul Mark Peter Daniel Andrew George Kevin Brian Steven Jason Jeff Scott Eric
    Adam Jack Henry Simon Frank Charles William Thomas Richard Joseph Matthew Anthony Edward Ryan Jacob Justin Patrick
    Alexander Benjamin Samuel Nathan Stephen Gary Larry Dennis Arthur Albert Fred Harry Louis Carl Philip Alan Roger
    Walter Martin Bruce Roy Ralph Eugene Oscar Victor Luke Max Leo Stanley Ben Joe Bob Jim Mike Steve Dave Tim Ken Ron Greg
    Josh Jerry Nick Howard Ian Sean Keith Phil Doug Craig Todd Derek Neil Dylan Ethan Noah Logan Hugo Felix Oliver Aaron
    """,
)
NAMES = words("first names", " ".join(f"{w} {m}" for w, m in zip(WOMEN.entries, MEN.entries, strict=False)))
ROLES = words(
    "roles",
    """
    doctor teacher lawyer nurse artist farmer driver singer writer dancer manager scientist student pilot painter
    reporter editor librarian poet baker chef guard banker priest officer soldier sailor player coach director
    judge clerk model leader worker engineer actor author professor waiter
    """,
)
PRAISE = words("words of praise", "good great nice kind wonderful fine brave gentle smart funny friendly careful")
