/// The exceptions that every module throws, each with the values that explain it.
@NullMarked
package dev.lockstep.failure;

import org.jspecify.annotations.NullMarked;
