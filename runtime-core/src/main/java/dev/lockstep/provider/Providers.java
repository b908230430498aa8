package dev.lockstep.provider;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Finds the plug-ins of a service of this module, whatever thread asks: an application's thread
/// may have a context class loader that knows nothing of Lockstep, or none.
public final class Providers {
  private static final Logger LOG = LoggerFactory.getLogger(Providers.class);

  private Providers() {}

  /// Returns the plug-ins that the service's own class loader knows, then those that only the
  /// thread's context class loader knows. Of two with one name the first counts.
  ///
  /// @param name what a plug-in is called
  public static <S> List<S> find(Class<S> service, Function<S, String> name) {
    List<S> found = new ArrayList<>();
    ClassLoader own = service.getClassLoader();
    ServiceLoader.load(service, own).forEach(provider -> add(found, provider, name));
    ClassLoader context = Thread.currentThread().getContextClassLoader();
    if (context != null && !context.equals(own)) {
      Iterator<S> others = ServiceLoader.load(service, context).iterator();
      while (others.hasNext()) {
        S provider = nextOf(others);
        if (provider != null) {
          add(found, provider, name);
        }
      }
    }
    return found;
  }

  /// Returns the next plug-in, or null where an entry names none: another copy of Lockstep may be
  /// what that loader knows, and its plug-ins are none of ours.
  private static <S> @Nullable S nextOf(Iterator<S> providers) {
    try {
      return providers.next();
    } catch (ServiceConfigurationError foreign) {
      if (foreign.getCause() != null) {
        throw foreign; // a plug-in of ours that cannot be made, or files that cannot be read
      }
      LOG.debug("entry of the context class loader is passed over: {}", foreign.getMessage());
      return null;
    }
  }

  private static <S> void add(List<S> found, S provider, Function<S, String> name) {
    if (found.stream().map(name).noneMatch(name.apply(provider)::equals)) {
      found.add(provider);
    }
  }
}
