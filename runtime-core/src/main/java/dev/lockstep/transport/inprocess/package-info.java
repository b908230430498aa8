/// The transport between ranks that are threads of one JVM.
@NullMarked
package dev.lockstep.transport.inprocess;

import org.jspecify.annotations.NullMarked;
