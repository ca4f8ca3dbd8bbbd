"""The words that the diagnostic tasks are made of, each one word piece of BERT's uncased vocabulary."""

NEEDLE = "whisper"

FILLER = (
    "the a of and to in on at with for from by over under after before about near small large old new "
    "early late quiet bright long short open simple common local north south east west first second last "
    "door window table chair road street bridge river hill field garden house room wall floor roof kitchen "
    "paper book letter page story word line color sound voice light shadow water stone glass metal wood "
    "morning evening night day week month year hour minute time place part side end start middle corner "
    "walked looked turned opened closed moved carried placed found left made gave took kept held called "
    "slowly quickly often always never again still almost nearly soon later then there here"
).split()

FRUITS = "apple banana orange lemon cherry peach grape pear plum corn berry mango coconut fig olive lime".split()
TOOLS = "hammer saw drill knife axe shovel rope wheel nail brush ladder needle blade pump wire spoon".split()

SINGULAR = "key cat dog boy girl king queen teacher doctor student car tree bird horse house book table farmer".split()
PLURAL = (
    "keys cats dogs boys girls kings queens teachers doctors students cars trees birds horses houses books "
    "tables farmers"
).split()
SINGULAR_VERBS = "is was has does seems".split()
PLURAL_VERBS = "are were have do seem".split()
ADJECTIVES = "old young small large quiet famous local strange happy simple".split()
# verb -> what may follow it
COMPLEMENTS = {
    "is": "very old here gone ready safe",
    "are": "very old here gone ready safe",
    "was": "very old here gone ready safe",
    "were": "very old here gone ready safe",
    "has": "changed moved disappeared returned",
    "have": "changed moved disappeared returned",
    "does": "move change matter help",
    "do": "move change matter help",
    "seems": "strange quiet fine ready",
    "seem": "strange quiet fine ready",
}
PREPOSITIONS = "near behind beside above below with".split()
OPENINGS = ("", "today", "in fact", "as we know", "last night", "on the other hand", "of course", "it is clear that")

FIRST_NAMES = (
    "jordan chelsea paris austin georgia sydney florence virginia madison lincoln dallas kent devon phoenix"
).split()
LAST_NAMES = "washington jackson houston carter stanford morgan ford lancaster warwick hamilton wells chester".split()

# Slots are names; what surrounds a slot is all that tells its type.
ENTITY_TEMPLATES = (
    (
        "{PER} said that she would resign",
        "the minister {PER} spoke to reporters",
        "{PER} married his old friend {PER}",
        "her brother {PER} scored twice",
        "{PER} was born in {LOC}",
        "{PER} , who works for {ORG} , lives in {LOC}",
    ),
    (
        "they drove from {LOC} to {LOC}",
        "heavy rain fell over {LOC}",
        "the streets of {LOC} were empty",
        "he lives in {LOC} with {PER}",
        "the river flows through {LOC}",
        "police in {LOC} arrested {PER}",
    ),
    (
        "shares of {ORG} fell sharply",
        "{ORG} reported a loss for the year",
        "{ORG} bought its rival {ORG}",
        "the board of {ORG} met in {LOC}",
        "{PER} is the chairman of {ORG}",
        "workers at {ORG} went on strike in {LOC}",
    ),
)
