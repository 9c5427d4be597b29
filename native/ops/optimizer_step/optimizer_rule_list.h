// Every rule once: its type in optimizer_rules.h, its name in JavaScript, its number of states, and for each state
// whether it has a sign. Included where OPTIMIZER_RULE is defined.
OPTIMIZER_RULE(AdamW, adamW, 3, true, false, false)
OPTIMIZER_RULE(Lion, lion, 1, true)
OPTIMIZER_RULE(Sgd, sgd, 1, true)
OPTIMIZER_RULE(AdEMAMix, adEMAMix, 3, true, true, false)
OPTIMIZER_RULE(Lerp, lerp, 1, true)
