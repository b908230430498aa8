/// Files that can be made again, shared by all processes of a user: where they lie, how one process
/// makes them while others wait, and how they come in whole.
@NullMarked
package dev.lockstep.cache;

import org.jspecify.annotations.NullMarked;
