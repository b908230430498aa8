/// The transport over Aeron, between processes of one host by IPC and between hosts by UDP.
@NullMarked
package dev.lockstep.transport.aeron;

import org.jspecify.annotations.NullMarked;
