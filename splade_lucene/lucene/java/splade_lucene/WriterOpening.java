package splade_lucene;

import io.anserini.analysis.DefaultEnglishAnalyzer;
import io.anserini.search.similarity.ImpactSimilarity;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import org.apache.lucene.index.CorruptIndexException;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexFileNames;
import org.apache.lucene.index.IndexFormatTooOldException;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.search.similarities.PerFieldSimilarityWrapper;
import org.apache.lucene.search.similarities.Similarity;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.Lock;

/** Opens Lucene's writer on a folder, over what is damaged there if so asked, and clears away after one that died. */
final class WriterOpening {
  private WriterOpening() {}

  /** @param overwrite whether an index that cannot be read any more may be replaced; it is given up at once */
  static IndexWriter open(Directory directory, boolean overwrite, IndexWriterConfig.OpenMode mode)
      throws IOException {
    try {
      if (overwrite) {
        giveUpUnreadable(directory);
      }
      return new IndexWriter(directory, config(mode));
    } catch (IOException | RuntimeException e) {
      directory.close();
      throw e;
    }
  }

  private static IndexWriterConfig config(IndexWriterConfig.OpenMode mode) {
    IndexWriterConfig config = new IndexWriterConfig(DefaultEnglishAnalyzer.newDefaultInstance());
    config.setOpenMode(mode);
    config.setSimilarity(new ByField());
    config.setRAMBufferSizeMB(Math.min(1024, Runtime.getRuntime().maxMemory() / (1 << 20) / 4));
    config.setUseCompoundFile(false);
    config.setCommitOnClose(false);
    return config;
  }

  /** What is kept of a document's length: nothing for impacts, as Anserini has it, and what BM25 wants for a text. */
  private static final class ByField extends PerFieldSimilarityWrapper {
    private static final Similarity IMPACTS = new ImpactSimilarity();

    @Override
    public Similarity get(String field) {
      return field.equals(ImpactWriter.BM25) ? TextSearcher.SIMILARITY : IMPACTS;
    }
  }

  /** Lucene reads the old index even where it is to be replaced: one that is damaged would be in the way for ever. */
  private static void giveUpUnreadable(Directory directory) throws IOException {
    try (Lock lock = directory.obtainLock(IndexWriter.WRITE_LOCK_NAME)) {
      lock.ensureValid();
      if (!readable(directory)) {
        for (String file : directory.listAll()) {
          if (file.startsWith(IndexFileNames.SEGMENTS)) {
            directory.deleteFile(file);
          }
        }
      }
    }
  }

  private static boolean readable(Directory directory) throws IOException {
    try {
      if (DirectoryReader.indexExists(directory)) {
        DirectoryReader.open(directory).close();
      }
      return true;
    } catch (CorruptIndexException | IndexFormatTooOldException | EOFException | NoSuchFileException e) {
      return false;
    }
  }

  /** A writer that died of an error leaves its files behind, and the next one to open removes them. */
  static void removeLeavings(Directory directory) {
    try {
      new IndexWriter(directory, config(IndexWriterConfig.OpenMode.CREATE)).rollback();
    } catch (IOException e) {
      // Somebody else builds here by now, and removes them; or the disk is worse than full: what went wrong first is told.
    }
  }
}
