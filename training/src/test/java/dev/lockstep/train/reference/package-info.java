/// GPT-2 and AdamW written once more, in plain loops over binary64, to check the real ones.
@NullMarked
package dev.lockstep.train.reference;

import org.jspecify.annotations.NullMarked;
