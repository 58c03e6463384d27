package blobs

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"
)

const testSecret = "a-secret-that-nobody-prints"

// clock is the service's idea of now.
type clock struct {
	mu     sync.Mutex
	behind time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return time.Now().Add(-c.behind)
}

func (c *clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *clock) set(behind time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.behind = behind
}

// fakeS3 is a service in this process, with one bucket.
type fakeS3 struct {
	clock   *clock
	backend *s3mem.Backend
	url     string

	answer atomic.Pointer[http.HandlerFunc] // answers instead, while it is set
}

func startS3(t *testing.T) *fakeS3 {
	t.Helper()

	f := &fakeS3{clock: &clock{}}
	f.backend = s3mem.New(s3mem.WithTimeSource(f.clock))
	require.NoError(t, f.backend.CreateBucket("bucket"))
	real := gofakes3.New(f.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := f.answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeS3) open(t *testing.T, prefix string) *S3 {
	t.Helper()

	s, err := NewS3(t.Context(), S3Config{
		Bucket: "bucket", Prefix: prefix, Endpoint: f.url, Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", testSecret, ""),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// refuse makes the service answer with an error.
func (f *fakeS3) refuse(status int, code string) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<Error><Code>" + code + "</Code><Message>on purpose</Message></Error>"))
	})
	f.answer.Store(&answer)
}

func s3Place(t *testing.T, prefix string) *place {
	t.Helper()

	f := startS3(t)
	s := f.open(t, prefix)
	below := strings.TrimPrefix(prefix+"/", "/")
	return &place{
		Backend: s,
		again:   func(t *testing.T) Backend { t.Helper(); return f.open(t, "/"+prefix+"/") },
		putOld: func(t *testing.T, prefix, data string) string {
			t.Helper()
			f.clock.set(2 * time.Hour)
			defer f.clock.set(0)
			ref, err := s.Put(t.Context(), prefix, []byte(data))
			require.NoError(t, err)
			return ref
		},
		spoil: func(t *testing.T, ref string, data []byte) {
			t.Helper()
			var err error
			if data == nil {
				_, err = f.backend.DeleteObject("bucket", below+ref)
			} else {
				_, err = f.backend.PutObject("bucket", below+ref, map[string]string{}, bytes.NewReader(data), int64(len(data)), nil)
			}
			require.NoError(t, err)
		},
		names: func(t *testing.T) []string {
			t.Helper()
			list, err := f.backend.ListBucket("bucket", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
			require.NoError(t, err)
			var names []string
			for _, o := range list.Contents {
				require.True(t, strings.HasPrefix(o.Key, below), "%q", o.Key)
				names = append(names, strings.TrimPrefix(o.Key, below))
			}
			return names
		},
	}
}

func TestS3(t *testing.T) {
	t.Parallel()

	t.Run("WhatTheServiceRefusesMayPass", func(t *testing.T) {
		t.Parallel()

		for _, tt := range []struct {
			status int
			code   string
		}{
			{http.StatusNotFound, "NoSuchBucket"},
			{http.StatusForbidden, "AccessDenied"},
			{http.StatusForbidden, "SignatureDoesNotMatch"},
			{http.StatusBadRequest, "ExpiredToken"},
		} {
			t.Run(tt.code, func(t *testing.T) {
				t.Parallel()

				f := startS3(t)
				s := f.open(t, "p")
				ref, err := s.Put(t.Context(), "p", []byte("data"))
				require.NoError(t, err)
				f.refuse(tt.status, tt.code)

				_, err = s.Get(t.Context(), ref)
				require.ErrorContains(t, err, tt.code)
				require.False(t, Lost(err), "the object may be there: %v", err)
				_, putErr := s.Put(t.Context(), "p", nil)
				_, idErr := s.ID(t.Context())
				_, sweepErr := s.Sweep(t.Context(), 0, nobody)
				for _, err := range []error{err, putErr, idErr, sweepErr} {
					require.ErrorContains(t, err, "s3://bucket/p")
					require.ErrorContains(t, err, tt.code)
					require.NotContains(t, err.Error(), testSecret)
				}
				f.answer.Store(nil)
				got, err := s.Get(t.Context(), ref)
				require.NoError(t, err)
				require.Equal(t, "data", string(got))
			})
		}
	})

	t.Run("ATornAnswerIsNoDamage", func(t *testing.T) {
		t.Parallel()

		f := startS3(t)
		s := f.open(t, "")
		ref, err := s.Put(t.Context(), "p", []byte("data"))
		require.NoError(t, err)
		torn := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = w.Write([]byte("da"))
		})
		f.answer.Store(&torn)
		_, err = s.Get(t.Context(), ref)
		require.Error(t, err)
		require.False(t, Lost(err), "%v", err)
	})

	t.Run("AServiceThatFailsForAMomentIsAskedAgain", func(t *testing.T) {
		t.Parallel()

		f := startS3(t)
		s := f.open(t, "")
		first := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f.answer.Store(nil)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		f.answer.Store(&first)
		ref, err := s.Put(t.Context(), "p", []byte("data"))
		require.NoError(t, err)
		f.answer.Store(&first)
		got, err := s.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "data", string(got))
	})

	t.Run("IDOfWhoWasFaster", func(t *testing.T) {
		t.Parallel()

		f := startS3(t)
		s := f.open(t, "")
		theirs := newID()
		missing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f.answer.Store(nil)
			_, err := f.backend.PutObject("bucket", idName, map[string]string{}, bytes.NewReader(theirs), int64(len(theirs)), nil)
			if err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("<Error><Code>NoSuchKey</Code></Error>"))
		})
		f.answer.Store(&missing)
		id, err := s.ID(t.Context())
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(theirs)), id)
	})

	t.Run("IDWithoutConditionalWrites", func(t *testing.T) {
		t.Parallel()

		f := startS3(t)
		s := f.open(t, "")
		var handler http.HandlerFunc
		real := gofakes3.New(f.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
		handler = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotImplemented)
				_, _ = w.Write([]byte("<Error><Code>NotImplemented</Code></Error>"))
				return
			}
			real.ServeHTTP(w, r)
		}
		f.answer.Store(&handler)
		id, err := s.ID(t.Context())
		require.NoError(t, err)
		f.answer.Store(nil)
		same, err := s.ID(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, same)
	})

	t.Run("ServiceAway", func(t *testing.T) {
		t.Parallel()

		s, err := NewS3(t.Context(), S3Config{
			Bucket: "bucket", Endpoint: "http://127.0.0.1:1", Credentials: credentials.NewStaticCredentialsProvider("key", testSecret, ""),
		})
		require.NoError(t, err, "the store does not ask before it has to")
		_, err = s.ID(t.Context())
		require.ErrorContains(t, err, "connection refused")
		require.NotContains(t, err.Error(), testSecret)
	})

	t.Run("BucketInTheHostName", func(t *testing.T) {
		t.Parallel()

		hosts := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hosts <- r.Host + r.URL.Path
			w.WriteHeader(http.StatusForbidden)
		}))
		defer server.Close()
		endpoint := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
		for virtual, want := range map[bool]string{true: "bucket.localhost", false: "localhost"} {
			s, err := NewS3(t.Context(), S3Config{
				Bucket: "bucket", Endpoint: endpoint, VirtualHost: virtual, Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
			})
			require.NoError(t, err)
			_, err = s.ID(t.Context())
			require.Error(t, err)
			if !virtual || len(hosts) > 0 { // not every system resolves names below localhost
				host := <-hosts
				require.True(t, strings.HasPrefix(host, want), host)
				require.Equal(t, !virtual, strings.HasSuffix(host, "/bucket/"+idName), host)
			}
		}
	})
}

// Credentials come from where every tool of Amazon's looks for them.
func TestNewS3_Environment(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	files := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(files, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(files, "credentials"))
	f := startS3(t)
	open := func() (context.Context, *S3) {
		s, err := NewS3(t.Context(), S3Config{Bucket: "bucket", Endpoint: f.url})
		require.NoError(t, err)
		return t.Context(), s
	}
	ctx, none := open()
	_, err := none.ID(ctx)
	require.ErrorContains(t, err, "credentials", "nothing to sign with")

	profile := "[default]\naws_access_key_id = key\naws_secret_access_key = " + testSecret + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(files, "credentials"), []byte(profile), 0o600))
	ctx, fromFile := open()
	id, err := fromFile.ID(ctx)
	require.NoError(t, err)

	require.NoError(t, os.Remove(filepath.Join(files, "credentials")))
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	ctx, fromEnv := open()
	same, err := fromEnv.ID(ctx)
	require.NoError(t, err)
	require.Equal(t, id, same)

	_, err = NewS3(t.Context(), S3Config{Bucket: "bucket"})
	require.ErrorContains(t, err, "windows.store", "Amazon's own service needs a region")
	t.Setenv("AWS_REGION", "eu-central-1")
	_, err = NewS3(t.Context(), S3Config{Bucket: "bucket"})
	require.NoError(t, err)
}
