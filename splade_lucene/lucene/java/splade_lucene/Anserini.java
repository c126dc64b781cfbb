package splade_lucene;

import io.anserini.index.IndexCollection;
import java.io.IOException;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;
import org.kohsuke.args4j.CmdLineParser;

/** Anserini's own programs, run inside this JVM; what they would print to standard output is kept to warnings. */
public final class Anserini {
  private Anserini() {}

  /** IndexCollection, with the arguments of its command line; it fails where the program would only log. */
  public static Job index(String[] arguments) {
    return Job.start(
        job -> {
          Configurator.setLevel("io.anserini", Level.WARN);
          IndexCollection.Args parsed = new IndexCollection.Args();
          new CmdLineParser(parsed).parseArgument(arguments);
          IndexCollection indexer = new IndexCollection(parsed);
          indexer.run();
          long errors = indexer.getCounters().errors.get();
          if (errors > 0) {
            throw new IOException("IndexCollection reports " + errors + " errors");
          }
          return null;
        });
  }
}
