/// The contract between the runtime and whatever carries bytes: transports, links and transfers.
@NullMarked
package dev.lockstep.transport;

import org.jspecify.annotations.NullMarked;
