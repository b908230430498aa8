/// The `lockstep` command and its verbs.
@NullMarked
package dev.lockstep.launcher;

import org.jspecify.annotations.NullMarked;
