package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWindows_S3(t *testing.T) {
	t.Parallel()

	for store, want := range map[string]S3Store{
		"s3://bucket":                     {Bucket: "bucket", PathStyle: true},
		"s3://bucket/":                    {Bucket: "bucket", PathStyle: true},
		"s3://my.bucket-1/a/b/?region=eu": {Bucket: "my.bucket-1", Prefix: "a/b", Region: "eu", PathStyle: true},
		"s3://b/p?endpoint=http://minio:9000&path_style=true": {
			Bucket: "b", Prefix: "p", Endpoint: "http://minio:9000", PathStyle: true,
		},
		"s3://b?endpoint=https%3A%2F%2Fs3.example.com&path_style=false": {Bucket: "b", Endpoint: "https://s3.example.com"},
	} {
		got, ok, err := Windows{Store: store}.S3()
		require.NoError(t, err, store)
		require.True(t, ok, store)
		require.Equal(t, want, got, store)
	}
	for _, directory := range []string{"", "/var/lib/drakkar", "relative", "s3", "s3:/x", `C:\store`} {
		_, ok, err := Windows{Store: directory}.S3()
		require.NoError(t, err, directory)
		require.False(t, ok, directory)
	}
}

func TestValidate_Store(t *testing.T) {
	t.Parallel()

	for store, want := range map[string]string{
		"file:///x":                          "windows.store: begins with file://",
		"gs://bucket":                        "windows.store: begins with gs://",
		"s3://":                              "windows.store: names no bucket",
		"s3:///prefix":                       "windows.store: names no bucket",
		"s3://minio:9000/b":                  "windows.store: names no bucket",
		"s3://key:hunter2@bucket/p":          "windows.store: must not hold credentials",
		"s3://bucket/%zz-hunter2":            "windows.store: is not an address",
		"s3://b?endpoint=minio:9000":         "windows.store: has an endpoint",
		"s3://b?endpoint=http://u:hunter2@h": "windows.store: has an endpoint",
		"s3://b?endpoint=ftp://h":            "windows.store: has an endpoint",
		"s3://b?path_style=maybe":            "windows.store: has a path_style",
		"s3://b?regoin=eu":                   `windows.store: has the option "regoin"`,
		"s3://b?a=%zz":                       "windows.store: has options that cannot be read",
	} {
		c := Default()
		c.Windows.Store = store
		c.Complete()
		err := c.Validate()
		require.ErrorContains(t, err, want, store)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
