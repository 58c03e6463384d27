package blobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
)

// requestTimeout bounds one request to the service, with its repetitions.
const requestTimeout = 5 * time.Minute

// S3Config says where an S3 store is.
type S3Config struct {
	// Bucket must exist.
	Bucket string

	// Prefix begins the name of every object. May be empty.
	Prefix string

	// Region is the bucket's. Empty means that of the environment or of the
	// profile, and with an Endpoint us-east-1 if these name none.
	Region string

	// Endpoint is the address of a service other than Amazon's. Empty means
	// Amazon's.
	Endpoint string

	// VirtualHost puts the bucket into the host name, for an Endpoint. Amazon's
	// is always called so.
	VirtualHost bool

	// Credentials to use instead of those of the environment: variables,
	// profiles, web identity, container and instance roles, in this order.
	Credentials aws.CredentialsProvider
}

var _ Backend = (*S3)(nil)

// S3 is a store in a bucket of Amazon S3, or of a service that speaks its
// protocol. Put sends an object in one request, which the service takes as a
// whole or not at all. The reference is its name, less the store's prefix.
type S3 struct {
	client *s3.Client
	bucket string
	prefix string
}

// NewS3 makes the store. It does not ask the service; ID does.
func NewS3(ctx context.Context, c S3Config) (*S3, error) {
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if c.Region != "" {
		load = append(load, config.WithRegion(c.Region))
	}
	if c.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(c.Credentials))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of S3 from the environment: %w", err)
	}
	if cfg.Region == "" {
		if c.Endpoint == "" {
			return nil, errors.New("the region of the bucket is not known: add ?region= to windows.store, or set AWS_REGION")
		}
		cfg.Region = "us-east-1"
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if c.Endpoint == "" {
			return
		}
		o.BaseEndpoint = &c.Endpoint
		o.UsePathStyle = !c.VirtualHost
		// Not every service knows these; references hold a checksum anyway.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return &S3{client: client, bucket: c.Bucket, prefix: strings.Trim(path.Clean("/"+c.Prefix), "/")}, nil
}

// String is the store's address, without its options.
func (s *S3) String() string { return "s3://" + path.Join(s.bucket, s.prefix) }

// Close implements Backend.
func (s *S3) Close() error { return nil }

// Put implements Store.
func (s *S3) Put(ctx context.Context, prefix string, data []byte) (ref string, err error) {
	ref = newRef(directory(prefix), data)
	if err := s.put(ctx, ref, data, nil); err != nil {
		return "", fmt.Errorf("putting blob into %s: %w", s, err)
	}
	return ref, nil
}

func (s *S3) put(ctx context.Context, name string, data []byte, ifNoneMatch *string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: s.key(name), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		IfNoneMatch: ifNoneMatch,
	})
	return causeOf(ctx, err)
}

// key is an object's name in the bucket.
func (s *S3) key(name string) *string { return aws.String(path.Join(s.prefix, name)) }

// Get implements Store.
func (s *S3) Get(ctx context.Context, ref string) ([]byte, error) {
	sum, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	data, err := s.get(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("getting blob %s from %s: %w", ref, s, err)
	}
	if checksum(data) != sum {
		return nil, fmt.Errorf("getting blob %s from %s: %w", ref, s, ErrDamaged)
	}
	return data, nil
}

// get reads an object. Only the service's word that there is no such object
// means ErrNotFound: a bucket that is not there, or must not be read, may be
// later.
func (s *S3) get(ctx context.Context, name string) (data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if _, gone := errors.AsType[*types.NoSuchKey](err); gone {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer func() { err = errors.Join(err, out.Body.Close()) }()
	if data, err = io.ReadAll(out.Body); err != nil {
		return nil, fmt.Errorf("reading its content: %w", causeOf(ctx, err))
	}
	return data, nil
}

// ID implements Backend: it is an object beside the others.
func (s *S3) ID(ctx context.Context) (string, error) {
	data, err := s.get(ctx, idName)
	if errors.Is(err, ErrNotFound) {
		if err := s.putID(ctx); err != nil {
			return "", fmt.Errorf("writing the id of %s: %w", s, err)
		}
		data, err = s.get(ctx, idName) // somebody may have been faster
	}
	if err != nil {
		return "", fmt.Errorf("reading the id of %s: %w", s, err)
	}
	id, err := parseID(data)
	if err != nil {
		return "", fmt.Errorf("reading the id of %s: %w", s, err)
	}
	return id, nil
}

// putID writes a new id unless there is one. Where the service knows no such
// condition, the last one wins.
func (s *S3) putID(ctx context.Context) error {
	id := newID()
	err := s.put(ctx, idName, id, aws.String("*"))
	switch status(err) {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return nil
	case http.StatusNotImplemented:
		return s.put(ctx, idName, id, nil)
	}
	return err
}

// status is the one the service answered with, or 0.
func status(err error) int {
	if res, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return res.HTTPStatusCode()
	}
	return 0
}

// Sweep implements Backend. There are no remains of crashed Puts.
func (s *S3) Sweep(ctx context.Context, olderThan time.Duration, inUse InUse) (removed int, err error) {
	k := newKeeper(olderThan, inUse)
	below := ""
	if s.prefix != "" {
		below = s.prefix + "/"
	}
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &below})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return removed, fmt.Errorf("sweeping %s: listing objects: %w", s, causeOf(ctx, err))
		}
		for _, o := range page.Contents {
			gone, err := s.sweepObject(ctx, k, strings.TrimPrefix(aws.ToString(o.Key), below), aws.ToTime(o.LastModified))
			if err != nil {
				return removed, fmt.Errorf("sweeping %s: %w", s, err)
			}
			if gone {
				removed++
			}
		}
	}
	return removed, nil
}

// sweepObject removes an object that nobody needs.
func (s *S3) sweepObject(ctx context.Context, k *keeper, name string, changed time.Time) (gone bool, err error) {
	if ok, err := k.removes(ctx, name, changed); err != nil || !ok {
		return false, err
	}
	if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(name)}); err != nil {
		return false, fmt.Errorf("removing %s: %w", name, causeOf(ctx, err))
	}
	return true, nil
}

// causeOf adds why the context of a failed request ended.
func causeOf(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
