package dev.lockstep.job;

import java.io.IOException;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.util.Comparator;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/// Addresses of this node.
final class NodeAddress {
  private static final String ANY = "0.0.0.0";
  private static final String LOOPBACK = "127.0.0.1";
  private static final Pattern GUESTS =
      Pattern.compile("docker|podman|virbr|br-|veth|cni|lxcbr|lxdbr");

  private NodeAddress() {}

  static String loopback() {
    return LOOPBACK;
  }

  /// Returns the address to listen at so that others reach this node as `host`: its own address if
  /// it is one of this node's; or all of them where it is none, as something stands between (a
  /// service, a forwarded port), where the name means nothing here, or where this node alone knows
  /// its own name as loopback, as `/etc/hosts` often says.
  static String toListenAt(String host) {
    try {
      InetAddress address = InetAddress.getByName(host);
      if (StoreAddress.isLoopback(host)) {
        return text(address);
      }
      boolean own =
          !address.isLoopbackAddress() && NetworkInterface.getByInetAddress(address) != null;
      return own ? address.getHostAddress() : ANY;
    } catch (IOException _) {
      return ANY;
    }
  }

  /// Returns an address by which other nodes reach this one.
  ///
  /// @param local the one by which this rank reaches the store
  /// @param storeHost where the other nodes reach the store, if it is on this node
  static String seenByOthers(InetAddress local, String storeHost) {
    if (!local.isLoopbackAddress()) {
      return text(local);
    }
    String own = toListenAt(storeHost);
    if (!own.equals(ANY) && !StoreAddress.isLoopback(own)) {
      return own;
    }
    try {
      InetAddress named = InetAddress.getLocalHost();
      if (!named.isLoopbackAddress()) {
        return text(named);
      }
    } catch (IOException _) {
      // The host's name says nothing; its interfaces do.
    }
    return firstInterface().orElse(loopback());
  }

  /// Returns the address that a variable gives this node, if it does.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if it is none of this node's
  static Optional<String> given(Variables variables) {
    String key = JobVariables.NODE_ADDRESS;
    return variables
        .text(key)
        .map(
            text -> {
              String own = toListenAt(text);
              if (own.equals(ANY)) {
                throw variables.wrong(
                    key,
                    "address is none of this node's: %s=%s (give one that ip address shows)"
                        .formatted(key, text));
              }
              return own;
            });
  }

  private static Optional<String> firstInterface() {
    return firstInterface(name -> !isForGuests(name)).or(() -> firstInterface(_ -> true));
  }

  /// Returns whether an interface of this name joins containers and virtual machines of this node:
  /// other nodes have one of the same name and address.
  static boolean isForGuests(String name) {
    return GUESTS.matcher(name).lookingAt();
  }

  private static Optional<String> firstInterface(Predicate<String> names) {
    try {
      return NetworkInterface.networkInterfaces()
          .filter(NodeAddress::isUp)
          .filter(candidate -> names.test(candidate.getName()))
          .flatMap(NetworkInterface::inetAddresses)
          .filter(address -> !address.isLoopbackAddress() && !address.isLinkLocalAddress())
          .min(Comparator.comparing(Inet6Address.class::isInstance)) // others know IPv4 at least
          .map(NodeAddress::text);
    } catch (SocketException _) {
      return Optional.empty();
    }
  }

  /// Returns an address without the interface that Java writes behind IPv6's: it is this node's,
  /// and only link-local addresses need one.
  private static String text(InetAddress address) {
    String text = address.getHostAddress();
    int scope = text.indexOf('%');
    return scope < 0 || address.isLinkLocalAddress() ? text : text.substring(0, scope);
  }

  private static boolean isUp(NetworkInterface candidate) {
    try {
      return candidate.isUp();
    } catch (SocketException _) {
      return false;
    }
  }
}
