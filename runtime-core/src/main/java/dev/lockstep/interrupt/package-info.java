/// What an interrupt of a thread does not end.
@NullMarked
package dev.lockstep.interrupt;

import org.jspecify.annotations.NullMarked;
