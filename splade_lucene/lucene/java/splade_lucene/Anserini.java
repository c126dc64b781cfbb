package splade_lucene;

import io.anserini.index.IndexCollection;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.config.Property;
import org.kohsuke.args4j.CmdLineParser;

/** Anserini's own programs, run inside this JVM; they print nothing, and fail where alone they would only log. */
public final class Anserini {
  private Anserini() {}

  /** IndexCollection, with the arguments of its command line. */
  public static Job index(String[] arguments) {
    return Job.start(
        job -> {
          FirstError logged = FirstError.instead();
          IndexCollection.Args parsed = new IndexCollection.Args();
          new CmdLineParser(parsed).parseArgument(arguments);
          IndexCollection indexer = new IndexCollection(parsed);
          PrintStream err = System.err;
          try {
            indexer.run();
          } finally {
            System.setErr(err);
          }
          long errors = indexer.getCounters().errors.get();
          if (logged.message != null) {
            throw new IOException("IndexCollection says: " + logged.message, logged.cause);
          }
          if (errors > 0) {
            throw new IOException("IndexCollection reports " + errors + " errors");
          }
          return null;
        });
  }

  /** For an indexing that is abandoned: it goes on, prints that its folder is gone, and nobody wants to read that. */
  public static void silence() {
    System.setErr(new PrintStream(OutputStream.nullOutputStream()));
  }

  /** Takes what Anserini logs, standard output being for results, and remembers the first error among it. */
  private static final class FirstError extends AbstractAppender {
    private volatile String message;
    private volatile Throwable cause;

    private FirstError() {
      super("splade-lucene", null, null, true, Property.EMPTY_ARRAY);
    }

    /** From now on, also for threads that go on after an interrupt, nothing of Anserini's is printed. */
    static FirstError instead() {
      FirstError appender = new FirstError();
      appender.start();
      LoggerConfig logger = new LoggerConfig("io.anserini", Level.ERROR, false);
      logger.addAppender(appender, null, null);
      LoggerContext context = LoggerContext.getContext(false);
      context.getConfiguration().removeLogger(logger.getName());
      context.getConfiguration().addLogger(logger.getName(), logger);
      context.updateLoggers();
      return appender;
    }

    @Override
    public synchronized void append(LogEvent event) {
      if (message == null) {
        message = event.getMessage().getFormattedMessage();
        cause = event.getThrown();
      }
    }
  }
}
