package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.function.BooleanSupplier;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.miscellaneous.EmptyTokenStream;
import org.apache.lucene.document.BinaryDocValuesField;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.document.NumericDocValuesField;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.util.BytesRef;

/**
 * Documents as they are handed over, and the fields that Lucene gets of each: {@link ImpactWriter} says which.
 *
 * <p>Document i has the terms and impacts from indptr[i] to indptr[i + 1].
 *
 * @param vocabulary the terms that term ids stand for
 * @param columns what {@code values} has of each document, one after another: fields to store or to search
 * @param values the single byte 0xFF where a document has no value; or null
 */
record Batch(
    BytesRef[] vocabulary,
    BytesRef[] ids,
    int[] indptr,
    int[] terms,
    int[] impacts,
    String[] columns,
    BytesRef[] values) {
  /** The field that says how many terms a document has: counts survive deletes by it. */
  static final String TERMS = "contents.terms";

  private static final byte ABSENT = (byte) 0xFF; // a byte that UTF-8 never uses
  private static final int LONGEST_FILTER = 256; // bytes of a stored value that can still be filtered on

  /** Adds the documents, as long as there is no reason to stop. */
  void write(IndexWriter writer, BooleanSupplier stopped) throws IOException {
    FieldType postings = new FieldType();
    postings.setIndexOptions(IndexOptions.DOCS_AND_FREQS);
    postings.freeze();
    ImpactTokenStream stream = new ImpactTokenStream();
    Field contents = new Field(Constants.CONTENTS, stream, postings);
    for (int i = 0; i < ids.length && !stopped.getAsBoolean(); i++) {
      Document document = new Document();
      document.add(new StringField(Constants.ID, ids[i].utf8ToString(), Field.Store.YES));
      document.add(new BinaryDocValuesField(Constants.ID, ids[i]));
      document.add(new NumericDocValuesField(TERMS, indptr[i + 1] - indptr[i]));
      for (int column = 0; values != null && column < columns.length; column++) {
        BytesRef value = values[i * columns.length + column];
        if (value.length != 1 || value.bytes[value.offset] != ABSENT) {
          document.add(field(columns[column], value, postings));
        }
      }
      stream.of(vocabulary, terms, impacts, indptr[i], indptr[i + 1]);
      document.add(contents);
      writer.addDocument(document);
    }
  }

  private static Field field(String name, BytesRef value, FieldType analyzed) {
    String text = value.utf8ToString();
    if (name.equals(ImpactWriter.BM25)) {
      return new Field(name, text, analyzed);
    }
    if (name.equals(Constants.RAW)) {
      return new StoredField(name, text);
    }
    return value.length <= LONGEST_FILTER ? new StringField(name, text, Field.Store.YES) : new LongValue(name, text);
  }

  /** A stored value without a term, but indexed: Lucene wants a field to be indexed in all documents or in none. */
  private static final class LongValue extends Field {
    private static final FieldType TYPE = new FieldType(StringField.TYPE_STORED);

    static {
      TYPE.setTokenized(true);
      TYPE.freeze();
    }

    LongValue(String name, String value) {
      super(name, value, TYPE);
    }

    @Override
    public TokenStream tokenStream(Analyzer analyzer, TokenStream reused) {
      return new EmptyTokenStream();
    }
  }
}
