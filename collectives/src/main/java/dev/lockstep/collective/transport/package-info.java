/// Which transport joins a communicator's ranks, and the one that is two: within hosts and between
/// them.
@NullMarked
package dev.lockstep.collective.transport;

import org.jspecify.annotations.NullMarked;
