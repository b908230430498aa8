/// What a collective is to do: its kind, its elements, where the ranks are, and what is promised
/// about the bits.
@NullMarked
package dev.lockstep.collective.request;

import org.jspecify.annotations.NullMarked;
