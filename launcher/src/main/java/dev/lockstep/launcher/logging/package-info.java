/// What the `lockstep` command logs.
@NullMarked
package dev.lockstep.launcher.logging;

import org.jspecify.annotations.NullMarked;
