// Every rule once: its type in adaptive_rules.h, its name in JavaScript and its number of states. Included where
// ADAPTIVE_RULE is defined.
ADAPTIVE_RULE(DAdaptAdam, dAdaptAdam, 3)
ADAPTIVE_RULE(DAdaptAdamPreprint, dAdaptAdamPreprint, 3)
ADAPTIVE_RULE(DAdaptAdaGrad, dAdaptAdaGrad, 3)
ADAPTIVE_RULE(DAdaptAdan, dAdaptAdan, 5)
ADAPTIVE_RULE(DAdaptAdanIP, dAdaptAdanIP, 5)
ADAPTIVE_RULE(DAdaptLion, dAdaptLion, 2)
ADAPTIVE_RULE(DAdaptSgd, dAdaptSgd, 2)
ADAPTIVE_RULE(Prodigy, prodigy, 4)
