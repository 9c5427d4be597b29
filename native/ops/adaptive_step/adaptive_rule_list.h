// Every rule once: its type in adaptive_rules.h, its name in JavaScript, its number of states, and whether it wants the
// norm of the first gradients before its first pass. Included where ADAPTIVE_RULE is defined.
ADAPTIVE_RULE(DAdaptAdam, dAdaptAdam, 3, false)
ADAPTIVE_RULE(DAdaptAdamPreprint, dAdaptAdamPreprint, 3, false)
ADAPTIVE_RULE(DAdaptAdaGrad, dAdaptAdaGrad, 3, false)
ADAPTIVE_RULE(DAdaptAdan, dAdaptAdan, 5, false)
ADAPTIVE_RULE(DAdaptAdanIP, dAdaptAdanIP, 5, false)
ADAPTIVE_RULE(DAdaptLion, dAdaptLion, 2, false)
ADAPTIVE_RULE(DAdaptSgd, dAdaptSgd, 2, true)
ADAPTIVE_RULE(Prodigy, prodigy, 4, false)
