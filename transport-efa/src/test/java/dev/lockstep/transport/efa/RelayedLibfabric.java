package dev.lockstep.transport.efa;

import dev.lockstep.transport.RelayedNetwork;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A libfabric whose endpoints are known by the names of relays in front of them: whatever a peer
/// sends to such a name passes the relay. The names are those of IPv4 sockets.
final class RelayedLibfabric extends ForwardingLibfabric {
  /// Where a `sockaddr_in` has its port.
  private static final long PORT_AT = 2;

  private static final ValueLayout.OfShort PORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

  private final RelayedNetwork relays;

  RelayedLibfabric(Libfabric library, RelayedNetwork relays) {
    super(library);
    this.relays = relays;
  }

  @Override
  public int getname(long endpoint, MemorySegment name, MemorySegment bytes) {
    int status = library.getname(endpoint, name, bytes);
    int port = Short.toUnsignedInt(name.get(PORT, PORT_AT));
    name.set(PORT, PORT_AT, (short) relays.relayTo(port));
    return status;
  }
}
