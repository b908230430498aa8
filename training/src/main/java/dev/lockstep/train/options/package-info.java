/// Checks of what users set, each refused in one sentence that names the option.
@NullMarked
package dev.lockstep.train.options;

import org.jspecify.annotations.NullMarked;
