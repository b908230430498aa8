/// What the ranks of a communicator tell each other through the job's store before they can run
/// anything, and how that ends where they do not come to it.
@NullMarked
package dev.lockstep.collective.agreement;

import org.jspecify.annotations.NullMarked;
